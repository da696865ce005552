# SPDX-License-Identifier: Apache-2.0
"""Order: of one process, the attempts of one record key begin one after another; other keys and processes go on."""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, Protocol, TypeVar

from bridge.sdk.process import AnyProcess
from processors.stream.window import Window


def order_name(process: AnyProcess) -> str:
    """Name what a process's events are kept in order under: processes that share a state share the order of its keys."""
    return f"{process.state}/" if process.state else process.name  # no process's name has a slash


class Lane(NamedTuple):
    """
    What keeps an order: one key of one process.

    `place` is one life of one partition, or the partition's number where there is state: what is given again comes from another
    topic, and must not read the state that an attempt in this one is about to change.
    """

    place: Window | int
    process: str
    key: bytes


class Waiting(Protocol):
    """Something that begins now or later; not any more once it is not alive."""

    @property
    def alive(self) -> bool: ...

    def begin(self) -> None: ...


T = TypeVar("T", bound=Waiting)


class Lanes(Generic[T]):
    """Only busy lanes exist: a lane is made by its first attempt and gone with its last. The first of each has begun."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[T]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def enter(self, lane: Lane, attempt: T) -> None:
        """Begin the attempt when everything that entered this lane before it has left."""
        queue = self._lanes.get(lane)
        if queue is None:
            self._lanes[lane] = deque((attempt,))
            attempt.begin()
        else:
            queue.append(attempt)

    def leave(self, lane: Lane, then: T | None = None) -> None:
        """Say that the attempt which had begun has ended; the next one begins, or one that goes before all that wait."""
        queue = self._lanes[lane]
        queue.popleft()
        if then is not None:
            queue.appendleft(then)
        self._go_on(lane, queue)

    def purge(self) -> None:
        """Let go of what belongs to partitions that were given up; where that had begun, the next one begins."""
        for lane, queue in list(self._lanes.items()):
            if not queue[0].alive:
                self._go_on(lane, queue)

    def _go_on(self, lane: Lane, queue: deque[T]) -> None:
        while queue and not queue[0].alive:
            queue.popleft()
        if queue:
            queue[0].begin()
        else:
            del self._lanes[lane]
