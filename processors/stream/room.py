# SPDX-License-Identifier: Apache-2.0
"""
How much a worker holds at once, over all partitions; more wait in Kafka.

Events and bytes that are read and not finished are what costs. What is finished and only waits for an earlier event of its
partition costs next to nothing, so there may be far more of it: one slow event must not keep others from being read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from bridge.domain.limits import MIB
from processors.stream.outbox import Outbox

IN_FLIGHT = 2000
IN_FLIGHT_BYTES = 64 * MIB
IN_LINE = 50_000
"""Read and not passed, finished or not: what is read again, and known again, after a crash."""
ASIDE_IN_FLIGHT = 100
"""Of each topic of redeliveries and of set-aside work: however much lies there, the rest is left to what is new."""

SIGNALS_IN_FLIGHT = 500
"""Of signals: runs and new events have room beside each other."""
ASIDE_BYTES = 16 * MIB
"""Of each topic with a bound of its own."""


class Room:
    """
    One per worker, on the loop's thread. `bounds` are those of single topics; all others share the rest.

    No topic waits for the room of another: new events may wait for what the signals of their journeys lead to.
    """

    def __init__(self, outbox: Outbox, bounds: Mapping[str, int]) -> None:
        self._outbox, self._bounds = outbox, bounds
        self._freed: asyncio.Future[None] | None = None
        self._of_topic: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self.held = self.in_line = 0

    def full(self, topic: str) -> bool:
        """Say whether an event of a topic must wait."""
        own = topic if topic in self._bounds else ""
        most, most_bytes = (self._bounds[own], ASIDE_BYTES) if own else (IN_FLIGHT, IN_FLIGHT_BYTES)
        if self._of_topic[own] >= most or self._bytes_of[own] >= most_bytes:
            return True
        return self.in_line >= IN_LINE or self._outbox.waiting > IN_FLIGHT

    def take(self, topic: str, size: int) -> None:
        """Hold one more event of `size` bytes."""
        own = topic if topic in self._bounds else ""
        self.held += 1
        self.in_line += 1
        self._of_topic[own] += 1
        self._bytes_of[own] += size

    def finish(self, topic: str, size: int) -> None:
        """Let go of an event; its place in the line is kept."""
        own = topic if topic in self._bounds else ""
        self.held -= 1
        self._of_topic[own] -= 1
        self._bytes_of[own] -= size
        self.look_again()

    def leave(self, count: int) -> None:
        """Let go of `count` places in the line."""
        self.in_line -= count
        self.look_again()

    def places(self, topic: str) -> int:
        """Count the events of a topic that may be held at once."""
        return self._bounds.get(topic, IN_FLIGHT)

    def free(self, topic: str) -> int:
        """Count those that may still be taken."""
        return self.places(topic) - self._of_topic[topic if topic in self._bounds else ""]

    async def wait(self) -> None:
        """Wait until something may have changed."""
        if self._freed is None:
            self._freed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._freed)  # several agents wait for it, and one of them may be cancelled

    def look_again(self) -> None:
        """Wake whoever waits."""
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set_result(None)
