# SPDX-License-Identifier: Apache-2.0
"""Order: of one process, the attempts of one record key begin one after another; other keys and processes go on."""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, Protocol, TypeVar

from processors.window import Window


class Lane(NamedTuple):
    """What keeps an order: one key of one process, in one life of one partition."""

    window: Window
    process: str
    key: bytes


class Waiting(Protocol):
    """Something that begins now or later."""

    def begin(self) -> None: ...


T = TypeVar("T", bound=Waiting)


class Lanes(Generic[T]):
    """Only busy lanes exist: a lane is made by its first attempt and gone with its last."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[T]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def enter(self, lane: Lane, attempt: T) -> None:
        """Begin the attempt when everything that entered this lane before it has left."""
        queue = self._lanes.get(lane)
        if queue is None:
            self._lanes[lane] = deque()
            attempt.begin()
        else:
            queue.append(attempt)

    def leave(self, lane: Lane) -> None:
        """Say that the attempt which had begun has ended; the next one begins."""
        queue = self._lanes.get(lane)
        if queue:
            queue.popleft().begin()
        else:
            self._lanes.pop(lane, None)

    def purge(self) -> None:
        """Remove the lanes of partitions that were given up, with everything that waits in them."""
        for lane in [lane for lane in self._lanes if not lane.window.alive]:
            del self._lanes[lane]
