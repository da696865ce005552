# SPDX-License-Identifier: Apache-2.0
"""
Read a tenant's notices from a place on, straight from Kafka: they need no place in the live view.

One consumer per process, made when it is first needed; blocking, so it is called in threads, one poll at a time.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bridge import logs
from bridge.domain.errors import BrokerUnavailable, InvalidEvent
from bridge.domain.limits import MIB, RECORD_BYTES
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.notifications.notice import Notice, partition_of, read
from bridge.settings import Settings
from bridge.topics import NOTIFICATIONS

LOG = logs.get("bridge.notifications")

ASK_S: Final = 4.0
READ_S: Final = 0.5
"""How long one poll reads through other tenants' notices; the next one goes on there."""
FETCH, WAIT_S = 500, 0.25
BYTES: Final = 4 * MIB


@dataclass(slots=True)
class Stretch:
    """What was found: notices with their offsets, where the reading ended, and whether more may lie behind."""

    next: int
    notices: list[tuple[int, Notice]] = field(default_factory=list)
    more: bool = False


class Reader:
    """One per process."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topic = settings, NOTIFICATIONS.name(settings)
        self._reason = Reason()
        self._lock = threading.Lock()
        self._consumer: Any = None

    def read(self, tenant: str, source: str, start: int, end: int | None, most: int) -> Stretch:
        """
        Give the next notices of a tenant from an offset on, of one source or of all (empty): at most `most`, and about 4 MiB.

        Shape:  `end` is an offset before which to stop.
        Raises: BrokerUnavailable.
        """
        with self._lock:
            found: Stretch = self._asked(lambda consumer: self._read(consumer, tenant, source, (start, end), most))
            return found

    def end(self, tenant: str) -> int:
        """Give the end of the partition that a tenant's notices lie in. Raises: BrokerUnavailable."""
        with self._lock:
            return int(self._asked(lambda consumer: consumer.get_watermark_offsets(self._place(tenant), ASK_S, cached=False)[1]))

    def close(self) -> None:
        """Let go of the brokers."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()

    def _place(self, tenant: str, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._topic, partition_of(tenant, self._settings.partitions), offset)

    def _asked(self, question: Any) -> Any:
        if self._consumer is None:
            self._consumer = Consumer(_config(self._settings) | {"error_cb": self._reason})
        try:
            return question(self._consumer)
        except KafkaException as err:
            consumer, self._consumer = self._consumer, None  # it may have forgotten every broker (`bridge.kafka.brokerless`)
            consumer.close()
            raise BrokerUnavailable(f"Kafka cannot be read: {self._reason.of(err)}.") from err

    def _read(self, consumer: Any, tenant: str, source: str, within: tuple[int, int | None], most: int) -> Stretch:
        found, size, (start, end) = Stretch(within[0]), 0, within
        consumer.assign([self._place(tenant, start)])
        deadline = time.monotonic() + READ_S
        try:
            while True:
                for message in _some(consumer):
                    if (error := message.error()) is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            return found
                        if error.fatal() or not error.retriable():
                            raise KafkaException(error)
                        continue
                    if end is not None and message.offset() >= end:
                        return found
                    notice = _of(message, tenant, source)
                    if notice is not None:
                        size += len(notice.payload)
                        if len(found.notices) == most or (found.notices and size > BYTES):
                            found.more = True
                            return found
                        found.notices.append((message.offset(), notice))
                    found.next = message.offset() + 1
                if time.monotonic() > deadline:
                    found.more = True
                    return found
        finally:
            consumer.unassign()


def _some(consumer: Any) -> list[Any]:
    """Give what is there, once anything is: `consume` alone would wait for all that it may give."""
    first = consumer.poll(WAIT_S)
    return [] if first is None else [first, *consumer.consume(FETCH, 0)]


def _of(message: Any, tenant: str, source: str) -> Notice | None:
    if message.key() != tenant.encode():
        return None
    try:
        notice = read(message.headers(), message.value())
    except (InvalidEvent, KeyError, ValueError) as err:
        LOG.error("a notice cannot be read", partition=message.partition(), offset=message.offset(), reason=str(err))
        return None
    return notice if not source or notice.type.partition(":")[0] == source else None


def _config(settings: Settings) -> dict[str, object]:
    return connection(settings) | {
        "group.id": f"{settings.topic_prefix}.feeds",  # librdkafka demands one; it is never joined
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 5,  # a poll at the head waits so long, and the next one behind it
        "fetch.message.max.bytes": RECORD_BYTES,
        "queued.max.messages.kbytes": 16_384,
        "reconnect.backoff.max.ms": 500,
    }
