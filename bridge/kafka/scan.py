# SPDX-License-Identifier: Apache-2.0
"""
Read a stretch of topics once, from a time to where they end now, as fast as the brokers give. Blocking: called in threads.

Used by the rebuild, by dead letters and by replays. Joins no group and commits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from bridge.domain.errors import BridgeError, BrokerUnavailable
from bridge.domain.limits import RECORD_BYTES
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason, answered
from bridge.settings import Settings
from bridge.topics import Topic

T = TypeVar("T")
ASK_S: Final = 10.0
GATHER_S: Final = 0.01
SILENCE_S: Final = 20.0  # without a record for this long, the brokers are away

Stretches = Mapping[tuple[str, int], tuple[int, int]]
"""Topic and partition -> the first offset to read and the one to end before."""
EVERYTHING: Final = (0, 2**62)


class Scan:
    """
    One reading; the ends are fixed when it is made. Use as a context manager.

    Shape:  whole topics, from a time on where one is given; or with `within` only those stretches, as far as they still exist.
    Order:  each partition's records come in their order.
    Raises: BrokerUnavailable, from the constructor too; Misconfigured from the constructor, where the brokers refuse us.
    """

    def __init__(
        self, settings: Settings, topics: Sequence[Topic], since_ms: int | None = None, *, within: Stretches | None = None
    ) -> None:
        self._reason = Reason()
        self._consumer = Consumer(_config(settings) | {"error_cb": self._reason})
        self.total = 0
        self._ends: dict[tuple[str, int], int] = {}
        self._firsts: dict[tuple[str, int], int] = {}
        self._silent_s = 0.0
        try:
            names = [topic.name(settings) for topic in topics]
            everything = {(name, number): EVERYTHING for name in names for number in range(settings.partitions)}
            wanted = everything if within is None else within
            self._consumer.assign(self._starts(wanted, since_ms))
        except BridgeError:
            self._consumer.close()
            raise

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()

    def stretches(self) -> Stretches:
        """Give what is left to read: before the first `read`, everything that this reading will give."""
        return {where: (self._firsts[where], end) for where, end in self._ends.items()}

    @property
    def done(self) -> bool:
        """Whether everything up to the ends was given."""
        return not self._ends

    def read(self, most: int, wait_s: float) -> list[Message]:
        """Give the next records, at most `most`, after at most `wait_s` seconds; none does not mean that it is done."""
        if self.done:
            return []
        records = []
        first = self._consumer.poll(wait_s)  # `consume` would wait on until it has `most`, also at the end
        messages = [first, *self._consumer.consume(most - 1, GATHER_S)] if first is not None else []
        self._silent_s = 0.0 if messages else self._silent_s + wait_s
        if self._silent_s > SILENCE_S:
            raise BrokerUnavailable(f"Kafka gave nothing for {SILENCE_S:g} s.")
        for message in messages:
            if self._belongs(message):
                records.append(message)
        return records

    def _belongs(self, message: Message) -> bool:
        """Say whether it is a record before its partition's end; note the partitions that were read to their end."""
        where = message.topic() or "", message.partition() or 0
        error, end = message.error(), self._ends.get(where)
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._ends.pop(where, None)
            elif error.fatal() or not error.retriable():
                raise BrokerUnavailable(f"Kafka cannot be read: {error.str()}.")
            return False
        offset = message.offset() or 0
        if end is None or offset >= end:
            self._ends.pop(where, None)
            return False
        if offset == end - 1:
            del self._ends[where]
        return True

    def _starts(self, wanted: Stretches, since_ms: int | None) -> list[TopicPartition]:
        """Fix the ends, and say where to begin; partitions without anything to read are left out."""
        asked = [TopicPartition(*where, OFFSET_BEGINNING if since_ms is None else since_ms) for where in wanted]
        found = asked if since_ms is None else self._ask(lambda s: answered(self._consumer.offsets_for_times(asked, timeout=s)))
        starts = []
        for begin in found:
            where = begin.topic, begin.partition
            low, high = self._watermarks(TopicPartition(*where))
            first = max(low, wanted[where][0]) if begin.offset == OFFSET_BEGINNING else begin.offset
            end = min(high, wanted[where][1])
            if 0 <= first < end:
                self._ends[where], self._firsts[where] = end, first
                self.total += end - first
                starts.append(TopicPartition(*where, first))
        return starts

    def _watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        return self._ask(lambda seconds: self._consumer.get_watermark_offsets(partition, seconds, cached=False))

    def _ask(self, question: Callable[[float], T]) -> T:
        return self._reason.ask(self._consumer, question, ASK_S, "Kafka did not say where the topics end")


def _config(settings: Settings) -> dict[str, object]:
    return connection(settings) | {
        "group.id": f"{settings.topic_prefix}.scan",  # librdkafka demands one; it is never joined
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 50,
        "fetch.message.max.bytes": RECORD_BYTES,
        "queued.max.messages.kbytes": 16_384,
    }
