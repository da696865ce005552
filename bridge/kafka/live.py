# SPDX-License-Identifier: Apache-2.0
"""Read topics from their end as records arrive, without a group and without leaving a trace. Used by `evb tail`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from bridge.domain.errors import BridgeError, BrokerUnavailable, Misconfigured
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.settings import Settings

T = TypeVar("T")
TIMEOUT_S = 10.0
PASSING = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)
"""What librdkafka says while it connects again by itself."""


class Live:
    """A reader of several topics. Once made, everything that is written afterwards is seen."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        """Fix the positions to read from. Raises: BrokerUnavailable; Misconfigured where a topic is missing."""
        # librdkafka demands a group's name of every consumer; with assign() and no commit the brokers never hear of it.
        self._reason, group = Reason(), f"{settings.topic_prefix}.live"
        self._consumer = Consumer(
            connection(settings) | {"group.id": group, "enable.auto.commit": False, "error_cb": self._reason}
        )
        try:
            self._consumer.assign([self._end(p) for topic in topics for p in self._partitions(topic)])
        except BridgeError:
            self._consumer.close()
            raise

    def __enter__(self) -> Live:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def records(self) -> Iterator[Message | None]:
        """
        Give record after record, for ever; None whenever a quarter of a second brought nothing.

        Order:  kept per partition.
        Raises: BrokerUnavailable where a partition can no longer be read.
        """
        while True:
            message = self._consumer.poll(0.25)
            error = message.error() if message else None
            if message is None or (error and error.code() in PASSING):
                yield None
            elif error:
                raise BrokerUnavailable(f"{message.topic()} cannot be read: {error.str()}.")
            else:
                yield message

    def _partitions(self, topic: str) -> list[TopicPartition]:
        known = self._ask(lambda seconds: self._consumer.list_topics(topic, timeout=seconds))
        found = known.topics[topic]
        if found.error or not found.partitions:
            raise Misconfigured(f"The topic {topic} does not exist: run `evb topics ensure`.")
        return [TopicPartition(topic, number) for number in found.partitions]

    def _end(self, partition: TopicPartition) -> TopicPartition:
        _, end = self._ask(lambda seconds: self._consumer.get_watermark_offsets(partition, timeout=seconds))
        return TopicPartition(partition.topic, partition.partition, end)

    def _ask(self, question: Callable[[float], T]) -> T:
        return self._reason.ask(self._consumer, question, TIMEOUT_S, "Kafka does not answer")
