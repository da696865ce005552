# SPDX-License-Identifier: Apache-2.0
"""Read topics from their end as records arrive, without a group and without leaving a trace. Used by `evb tail`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.domain.errors import BrokerUnavailable, Misconfigured
from bridge.kafka.client import Reason, connection
from bridge.settings import Settings

TIMEOUT_S = 10.0
PASSING = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)
"""What librdkafka says while it connects again by itself."""


class Live:
    """A reader of several topics. Once made, everything that is written afterwards is seen."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        """Fix the positions to read from. Raises: BrokerUnavailable; Misconfigured where a topic is missing."""
        # librdkafka demands a group's name of every consumer; with assign() and no commit the brokers never hear of it.
        reason, group = Reason(), f"{settings.topic_prefix}.live"
        self._consumer = Consumer(connection(settings) | {"group.id": group, "enable.auto.commit": False, "error_cb": reason})
        try:
            self._consumer.assign([self._end(p) for topic in topics for p in self._partitions(topic)])
        except KafkaException as err:
            error = reason.error(self._consumer, err, "Kafka does not answer")
            self._consumer.close()
            raise error from err
        except Misconfigured:
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
        found = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if found.error or not found.partitions:
            raise Misconfigured(f"The topic {topic} does not exist: run `evb topics ensure`.")
        return [TopicPartition(topic, number) for number in found.partitions]

    def _end(self, partition: TopicPartition) -> TopicPartition:
        _, end = self._consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
        return TopicPartition(partition.topic, partition.partition, end)
