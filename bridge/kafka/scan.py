# SPDX-License-Identifier: Apache-2.0
"""
Read a stretch of topics once, from a time to where they end now, as fast as the brokers give. Blocking: called in threads.

Used by the rebuild. Joins no group and commits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from bridge.domain.errors import BridgeError, BrokerUnavailable
from bridge.domain.limits import RECORD_BYTES
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.settings import Settings
from bridge.topics import Topic

T = TypeVar("T")
ASK_S: Final = 10.0
SILENCE_S: Final = 20.0  # without a record for this long, the brokers are away


class Scan:
    """
    One reading; the ends are fixed when it is made. Use as a context manager.

    Order:  each partition's records come in their order.
    Raises: BrokerUnavailable, from the constructor too; Misconfigured from the constructor, where the brokers refuse us.
    """

    def __init__(self, settings: Settings, topics: Sequence[Topic], since_ms: int | None = None) -> None:
        self._reason = Reason()
        self._consumer = Consumer(_config(settings) | {"error_cb": self._reason})
        self.total = 0
        self._ends: dict[tuple[str, int], int] = {}
        self._silent_s = 0.0
        try:
            names = [topic.name(settings) for topic in topics]
            starts = self._starts([(name, partition) for name in names for partition in range(settings.partitions)], since_ms)
            self._consumer.assign(starts)
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

    @property
    def done(self) -> bool:
        """Whether everything up to the ends was given."""
        return not self._ends

    def read(self, most: int, wait_s: float) -> list[Message]:
        """Give the next records, at most `most`, after at most `wait_s` seconds; none does not mean that it is done."""
        records = []
        messages = self._consumer.consume(most, wait_s)
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

    def _starts(self, wanted: list[tuple[str, int]], since_ms: int | None) -> list[TopicPartition]:
        """Fix the ends, and say where to begin; partitions without anything to read are left out."""
        asked = [
            TopicPartition(name, partition, OFFSET_BEGINNING if since_ms is None else since_ms) for name, partition in wanted
        ]
        found = asked if since_ms is None else self._ask(lambda seconds: self._consumer.offsets_for_times(asked, timeout=seconds))
        starts = []
        for begin in found:
            low, high = self._watermarks(TopicPartition(begin.topic, begin.partition))
            first = low if begin.offset == OFFSET_BEGINNING else begin.offset
            if 0 <= first < high:
                self._ends[begin.topic, begin.partition] = high
                self.total += high - first
                starts.append(TopicPartition(begin.topic, begin.partition, first))
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
