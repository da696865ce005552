# SPDX-License-Identifier: Apache-2.0
"""
Follow a topic for as long as the process lives: all partitions, no consumer group, nothing committed.

From its beginning where every process holds its state in memory (the registry), or from its end where only what is decided from
now on matters (claims). The handler runs in the follower's thread.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge import logs
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.settings import Settings

LOG = logs.get("bridge.follow")

BATCH: Final = 500
POLL_S: Final = 0.2
ASK_S: Final = 2.0
"""Longest wait for one answer of the brokers: while we wait, records wait too."""
LOOK_EVERY_S: Final = 5.0
STALE_S: Final = 15.0
"""Without a word from the brokers for this long, what we hold no longer counts as current."""

Handler = Callable[[Sequence[Message]], None]


class Follower:
    """
    One thread that gives every record of a topic to `handler`, in batches, each partition in order, each record once.

    It outlives the brokers: it goes on where it stood, as long as it takes. A handler that raises gets that batch again and
    again; the follower is not `current` meanwhile.
    """

    def __init__(self, settings: Settings, topic: str, handler: Handler, *, from_end: bool = False) -> None:
        self._topic, self._handler, self._from_end = topic, handler, from_end
        self._reason = Reason()
        self._config = _config(settings) | {"error_cb": self._reason}
        self._next: dict[int, int] = {}
        self._targets: dict[int, int] = {}
        self._batch: list[Message] = []
        self._heard = 0.0
        self._level = False
        self._fault = "it has not come to the end yet"
        self._caught_up = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{topic}", daemon=True)

    def start(self) -> None:
        """Begin. Once only."""
        self._thread.start()

    def wait_current(self, timeout_s: float) -> bool:
        """Wait until all that is to be handled of what the topic held at the start was, or until `close`; says whether it was."""
        return self._caught_up.wait(timeout_s) and not self._closing.is_set()

    @property
    def current(self) -> bool:
        """Whether the handler has had everything up to seconds ago."""
        return self._level and self.age_s < STALE_S and not self._fault and self._thread.is_alive()

    @property
    def age_s(self) -> float:
        """Seconds since the brokers last answered; infinite before the first time."""
        return time.monotonic() - self._heard if self._heard else float("inf")

    @property
    def fault(self) -> str:
        """What keeps it from following now, or an empty text."""
        return self._fault

    def close(self) -> None:
        """Stop and wait for the thread, for as long as one answer of the brokers may take. Lets go of who waits."""
        self._closing.set()
        self._caught_up.set()
        if self._thread.ident is not None:
            self._thread.join(2 * ASK_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._follow()
            except Exception as err:  # noqa: BLE001  the edge of the thread: it must not die silently, so it says so and begins again
                self._say(f"{type(err).__name__}: {err}")
                self._closing.wait(0.5)

    def _follow(self) -> None:
        self._level = False
        self._batch.clear()
        self._reason.clear()
        consumer = Consumer(self._config)
        try:
            partitions = self._partitions(consumer)
            self._aim(consumer, partitions)
            # first what is there: a fetch that asks for a quiet partition beside it would hold it back
            consumer.assign(self._places(p for p in partitions if self._behind(p)))
            self._level = not self._any_behind()
            self._answered()
            while self._any_behind() and not self._closing.is_set():
                self._step(consumer, partitions)
            consumer.assign(self._places(partitions))
            while not self._closing.is_set():
                self._step(consumer, partitions)
        except KafkaException as err:
            consumer.poll(0)  # which tells the reason
            self._say(self._reason.of(err))
            self._closing.wait(0.5)
        finally:
            consumer.close()

    def _step(self, consumer: Any, partitions: Sequence[int]) -> None:
        first = consumer.poll(POLL_S)
        if first is not None:
            for message in (first, *consumer.consume(BATCH, 0)):
                self._sort(message)
            self._hand_over()
        elif time.monotonic() - self._heard > LOOK_EVERY_S:
            self._look(consumer, partitions[0])

    def _sort(self, message: Message) -> None:
        """Queue a record; note an end of a partition; raise what librdkafka cannot mend by itself."""
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            self._batch.append(message)
        elif error.fatal() or not error.retriable():
            raise KafkaException(error)

    def _hand_over(self) -> None:
        records = [message for message in self._batch if message.error() is None]
        if records:
            self._handler(records)
        for message in self._batch:
            self._next[cast(int, message.partition())] = cast(int, message.offset()) + (message.error() is None)
        self._batch.clear()
        self._level = self._level or not self._any_behind()
        self._answered()

    def _aim(self, consumer: Any, partitions: Sequence[int]) -> None:
        """Note where each partition ends now; one that holds nothing before that is read already."""
        bounds = {partition: self._bounds(consumer, partition) for partition in partitions}
        self._targets = {partition: end for partition, (_, end) in bounds.items()}
        for partition, (first, end) in bounds.items():
            if first == end or self._from_end:
                self._next.setdefault(partition, end)

    def _any_behind(self) -> bool:
        return any(self._behind(partition) for partition in self._targets)

    def _behind(self, partition: int) -> bool:
        return self._next.get(partition, -1) < self._targets[partition]

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, p, self._next.get(p, OFFSET_BEGINNING)) for p in partitions]

    def _look(self, consumer: Any, partition: int) -> None:
        """Find out whether it is quiet or the brokers are away; librdkafka itself goes on dialling them."""
        try:
            self._bounds(consumer, partition)
        except KafkaException as err:
            if self.age_s > STALE_S:
                raise  # and begin anew: this consumer may have forgotten every broker (`bridge.kafka.brokerless`)
            self._say(self._reason.of(err))
        else:
            self._answered()

    def _answered(self) -> None:
        """Note that the brokers answer; all is well again once the handler has had what there was when we began anew."""
        self._reason.clear()
        self._heard = time.monotonic()
        if self._level:
            self._say("")
            self._caught_up.set()

    def _partitions(self, consumer: Any) -> list[int]:
        found = consumer.list_topics(self._topic, ASK_S).topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def _bounds(self, consumer: Any, partition: int) -> tuple[int, int]:
        """Give the first offset that there is, and the one that comes next."""
        first, end = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), ASK_S, cached=False)
        return int(first), int(end)

    def _say(self, fault: str) -> None:
        """Log a change of state once, not once per attempt."""
        if fault != self._fault:
            self._fault = fault
            if fault:
                LOG.warning("cannot follow a topic; trying again", topic=self._topic, reason=fault)
            else:
                LOG.info("following", topic=self._topic)


def _config(settings: Settings) -> dict[str, object]:
    return connection(settings) | {
        "group.id": f"follow-{uuid.uuid4()}",  # librdkafka demands one; it is never joined
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "reconnect.backoff.max.ms": 500,
        "fetch.wait.max.ms": 500,
        "allow.auto.create.topics": False,
    }
