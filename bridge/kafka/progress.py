# SPDX-License-Identifier: Apache-2.0
"""
How far a group has come in some partitions, as Kafka itself says. Blocking; joins no group.

On connections of its own: a consumer that no longer fetches knows neither that a partition has grown nor that it is late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, TopicPartition

from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason, answered
from bridge.settings import Settings

ASK_S: Final = 4.0

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    `committed`: the next offset that is not finished, without any commit the first there is; `end`: the next to be written.

    `first` is the first that Kafka still has, known where it may matter: what it has deleted, nobody can finish.
    """

    committed: int
    end: int
    first: int = 0

    @property
    def lag(self) -> int:
        """Count the records that are not finished."""
        return max(0, self.end - max(self.committed, self.first))


class Progress:
    """
    Asks about one group. Not thread-safe.

    A consumer that never joins, not the administration client: that one crashes where an answer comes after its time is over.
    """

    def __init__(self, settings: Settings, group: str) -> None:
        """Connect at the first question. Raises: Misconfigured."""
        self._reason, self._group = Reason(), group
        config = {"group.id": group, "enable.auto.commit": False, "error_cb": self._reason}
        self._config = connection(settings) | config | {"allow.auto.create.topics": False}
        self._consumer = Consumer(self._config)

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()

    def ask(self, partitions: Collection[Partition], timeout_s: float = ASK_S) -> dict[Partition, Place]:
        """
        Give the place in each partition; one that its leader says nothing of is left out.

        Raises: BrokerUnavailable where Kafka does not answer; Misconfigured where it refuses us.
        """
        try:
            return self._ask(partitions, timeout_s)
        except BrokerUnavailable:
            self._consumer.close()
            self._consumer = Consumer(self._config)  # this one may have forgotten every broker (`bridge.kafka.brokerless`)
            raise

    def _ask(self, partitions: Collection[Partition], timeout_s: float) -> dict[Partition, Place]:
        asked = [TopicPartition(*one) for one in partitions]
        what = f"Kafka does not say how far the group {self._group} has come"
        found = self._reason.ask(self._consumer, lambda s: answered(self._consumer.committed(asked, timeout=s)), timeout_s, what)
        committed = {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}
        ends = self._offsets(partitions, OFFSET_END, timeout_s, what)
        behind = [one for one, end in ends.items() if committed.get(one, -1) < end]
        firsts = self._offsets(behind, OFFSET_BEGINNING, timeout_s, what)
        committed = firsts | committed
        return {one: Place(committed[one], end, firsts.get(one, 0)) for one, end in ends.items() if one in committed}

    def _offsets(self, partitions: Collection[Partition], which: int, timeout_s: float, what: str) -> dict[Partition, int]:
        """Ask each leader once: the time of a look-up by time may also be one of the protocol's two ends."""
        if not partitions:
            return {}
        asked = [TopicPartition(topic, partition, which) for topic, partition in partitions]
        found = self._reason.ask(self._consumer, lambda s: self._consumer.offsets_for_times(asked, timeout=s), timeout_s, what)
        return {(one.topic, one.partition): one.offset for one in found if one.error is None and one.offset >= 0}
