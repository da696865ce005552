# SPDX-License-Identifier: Apache-2.0
"""When waiting executions come back: those of a tier when they are due, parked ones when nothing holds them. For the mover."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition

from bridge import redeliveries
from bridge.domain.retry import longest_s
from bridge.topics import tier_of
from processors.background.mover import Step
from processors.clock import now_ms

SPREAD_S = 5.0
"""A worker that has not heard of a change yet may park for this long afterwards what should run: so we look once more."""


class Seen(NamedTuple):
    """Everything of a partition before `until` was there at `since` (seconds of the clock that nobody sets)."""

    until: int
    since: float


class Due:
    """
    A tier's rule: everything in its topic waits equally long, so the head is due first.

    Nothing waits for longer than the tier's delay from when it was seen: a due time of a clock that was then set back would hold
    the whole partition.
    """

    def __init__(self) -> None:
        self._due: dict[TopicPartition, int] = {}
        self._seen: dict[TopicPartition, Seen] = {}

    def step(self, tp: TopicPartition, record: Any, end: int) -> Step:
        if tp not in self._seen or record.offset >= self._seen[tp].until:
            self._seen[tp] = Seen(max(end, record.offset + 1), time.monotonic())
        self._due[tp] = redeliveries.due_of(record.headers)
        return Step.GIVE if self.ready(tp) else Step.HOLD

    def ready(self, tp: TopicPartition) -> bool:
        return self._due[tp] <= now_ms() or time.monotonic() - self._seen[tp].since >= longest_s(tier_of(tp.topic))

    def late(self, record: Any) -> float:
        due = redeliveries.due_of(record.headers)
        return max(0.0, (now_ms() - due) / 1000) if due else 0.0

    def forget(self) -> None:
        self._due.clear()
        self._seen.clear()


class Pauses(Protocol):
    """The part of the registry's view that says what is paused."""

    def pauses(self) -> tuple[object, ...]: ...

    def paused(self, tenant: str, process: str) -> object | None: ...


@dataclass(slots=True)
class Cycle:
    """One look through a partition's parked executions, up to where it ended; `last` says that no second look is due."""

    until: int
    pauses: tuple[object, ...]
    since: float
    last: bool


class Parked:
    """
    The rule of parked executions: one that is still paused goes to the topic's end, once, so that those behind it get their turn.

    After such a cycle the partition is held until what is paused changes.
    """

    def __init__(self, registry: Pauses) -> None:
        self._registry = registry
        self._cycles: dict[TopicPartition, Cycle] = {}
        self._looked: set[TopicPartition] = set()

    def step(self, tp: TopicPartition, record: Any, end: int) -> Step:
        if self._registry.paused(*redeliveries.whose(record.headers)) is None:
            return Step.GIVE
        cycle = self._cycles.get(tp)
        if cycle is None:
            cycle = self._cycles[tp] = Cycle(end, self._registry.pauses(), time.monotonic(), tp in self._looked)
            self._looked.discard(tp)
        return Step.KEEP if record.offset < cycle.until else Step.HOLD

    def ready(self, tp: TopicPartition) -> bool:
        cycle = self._cycles[tp]
        changed = cycle.pauses != self._registry.pauses()
        if not changed and (cycle.last or time.monotonic() - cycle.since < SPREAD_S):
            return False
        if not changed:
            self._looked.add(tp)
        del self._cycles[tp]
        return True

    def late(self, record: Any) -> float:  # noqa: ARG002  nobody said when it should come back
        return 0.0

    def forget(self) -> None:
        self._cycles.clear()
        self._looked.clear()
