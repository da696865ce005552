# SPDX-License-Identifier: Apache-2.0
"""
Whether what waits comes back: end the process when the mover, or one partition of it, brings nothing, and show how late it is.

Asks about the mover's group by a witness of its own: where that group's brokers are away, only this clock stands.
"""

from __future__ import annotations

import time
from collections.abc import Collection, MutableMapping
from typing import Final, Protocol

from aiokafka import TopicPartition

from bridge import metrics
from bridge.kafka.progress import Partition, Place, Progress
from processors.stream.app import REBALANCE_S
from processors.watch.lastwords import LastWords
from processors.watch.stillness import Stillness
from processors.watch.witness import Places, Witness

MOVER: Final = "the mover"

ROUND_S: Final = 75.0
"""A round may wait for Kafka's confirmation: the producer gives every record's fate after `parts.DELIVERY_S`."""


class Mover(Protocol):
    """
    What is looked at.

    `rounds` grows for as long as it works, several times a second, `calm` with each round that left nothing lying of what was
    fetched, `joins` with each assignment. `held` are the partitions whose heads have to wait; `late` says by how many seconds the
    head of a partition was late when it was moved last.
    """

    rounds: int
    calm: int
    joins: int

    @property
    def topics(self) -> Collection[str]: ...

    @property
    def held(self) -> Collection[TopicPartition]: ...

    @property
    def late(self) -> MutableMapping[TopicPartition, float]: ...

    def assignment(self) -> Collection[TopicPartition]: ...

    def passed(self, tp: TopicPartition) -> int:
        """Say up to where nothing is left to move."""


class Overdue:
    """Part of the watchdog, which makes it look."""

    def __init__(self, mover: Mover, progress: Progress, last_words: LastWords, patience_s: float) -> None:
        """Give a partition `patience_s` seconds; `progress` asks about the mover's group."""
        self._mover, self._end, self._patience_s = mover, last_words.say, patience_s
        self._still = Stillness(time.monotonic())
        self._calm = 0
        self._behind: set[TopicPartition] = set()
        self._anything: list[Partition] = [(next(iter(mover.topics)), 0)]
        self._asked = self._anything
        self._witness = Witness(progress, lambda: self._asked, min(1.0, patience_s / 5))

    def start(self) -> None:
        """Begin to ask Kafka."""
        self.show(time.monotonic())
        self._witness.start()

    def look(self, counts: bool) -> None:
        """Judge by what Kafka has answered since the last look; `counts` says whether the time since then does."""
        now = time.monotonic()
        if (places := self._witness.news()) is not None:
            self.judge(now, places, counts)
        self._asked = list(self._mover.assignment()) or self._anything  # does Kafka answer?
        self.show(now)

    def judge(self, now: float, places: Places, counts: bool) -> None:
        """Compare with the last answer. Ends the process where something has stood still for too long."""
        mover = self._mover
        assigned = mover.assignment()
        self._still.look(now)
        self._still.keep((MOVER, *assigned))
        stood = self._still.see(MOVER, mover.rounds, counts=counts)
        if stood > max(self._patience_s + REBALANCE_S, ROUND_S):  # its group's joins are the brokers' to end
            self._end("mover", seconds=round(stood, 1))
        # Without a round that left nothing lying, a partition may wait for others, or for the confirmation of what was moved.
        turn, self._calm = mover.calm != self._calm, mover.calm
        self._behind.intersection_update(assigned)
        for tp in assigned:
            if (place := places.get(tp)) is not None:
                self._judge(tp, place, counts and turn)

    def _judge(self, tp: TopicPartition, place: Place, counts: bool) -> None:
        mover = self._mover
        behind = tp not in mover.held and max(place.first, place.committed, mover.passed(tp)) < place.end
        stood = self._still.see(tp, (mover.joins, place.committed, behind), counts=counts)
        if not behind:
            self._behind.discard(tp)
            mover.late.pop(tp, None)
            return
        self._behind.add(tp)
        if stood > self._patience_s:
            where = {"topic": tp.topic, "partition": tp.partition, "committed": place.committed, "end": place.end}
            self._end("overdue", **where, seconds=round(stood, 1))

    def show(self, now: float) -> None:
        """Set what Prometheus reads: a head is about as late as the one before it was, and later by the time since."""
        late = dict.fromkeys(self._mover.topics, 0.0)
        for tp in self._behind:
            late[tp.topic] = max(late[tp.topic], self._mover.late.get(tp, 0.0) + self._still.age(tp, now))
        for topic, seconds in late.items():
            metrics.OVERDUE.labels(topic).set(seconds)
