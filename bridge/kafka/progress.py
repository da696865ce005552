# SPDX-License-Identifier: Apache-2.0
"""
How far a group has come in some partitions, as Kafka itself says. Blocking; joins no group.

On connections of its own: a consumer that no longer fetches knows neither that a partition has grown nor that it is late.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.admin import client
from bridge.settings import Settings

ASK_S: Final = 4.0
LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # confluent-kafka leaves them untyped
EARLIEST: Final[OffsetSpec] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(frozen=True, slots=True)
class Place:
    """`committed`: the next offset that is not finished, without any commit the first there is; `end`: the next to be written."""

    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Count the records that are not finished."""
        return max(0, self.end - self.committed)


class Progress:
    """Asks about one group. Not thread-safe."""

    def __init__(self, settings: Settings, group: str) -> None:
        """Connect at the first question. Raises: Misconfigured."""
        self._admin, self._group = client(settings), group

    def ask(self, partitions: Collection[Partition], timeout_s: float = ASK_S) -> dict[Partition, Place]:
        """
        Give the place in each partition; one whose leader does not answer is left out.

        Raises: BrokerUnavailable where the group's coordinator does not answer.
        """
        committed = self._committed(partitions, timeout_s)
        ends = self._offsets(partitions, LATEST, timeout_s)
        fresh = [one for one in ends if one not in committed]
        committed |= self._offsets(fresh, EARLIEST, timeout_s)
        return {one: Place(committed[one], end) for one, end in ends.items() if one in committed}

    def _committed(self, partitions: Collection[Partition], timeout_s: float) -> dict[Partition, int]:
        asked = [ConsumerGroupTopicPartitions(self._group, [TopicPartition(*one) for one in partitions])]
        try:
            answer = self._admin.list_consumer_group_offsets(asked, request_timeout=timeout_s)[self._group]
            found = answer.result(timeout_s + 1).topic_partitions
        except (KafkaException, TimeoutError) as err:
            raise BrokerUnavailable(f"Kafka does not say what the group {self._group} has committed: {err}.") from err
        return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0 and one.error is None}

    def _offsets(self, partitions: Collection[Partition], which: OffsetSpec, timeout_s: float) -> dict[Partition, int]:
        if not partitions:
            return {}
        asked = {TopicPartition(*one): which for one in partitions}
        answers: Mapping[TopicPartition, Future[Any]] = self._admin.list_offsets(asked, request_timeout=timeout_s)
        found = {}
        for one, answer in answers.items():
            try:
                found[one.topic, one.partition] = int(answer.result(timeout_s + 1).offset)
            except (KafkaException, TimeoutError):
                continue  # its leader is away: nobody can say how far it has come
        return found
