# SPDX-License-Identifier: Apache-2.0
"""How much a worker holds at once: events and bytes that are read and not finished, over all partitions; more wait in Kafka."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from bridge.domain.limits import MIB
from processors.outbox import Outbox

IN_FLIGHT = 2000
IN_FLIGHT_BYTES = 64 * MIB
ASIDE_IN_FLIGHT = 100
"""Of each topic of redeliveries and of set-aside work: however much lies there, the rest is left to what is new."""


class Room:
    """One per worker, on the loop's thread. `bounds` are those of single topics."""

    def __init__(self, outbox: Outbox, bounds: Mapping[str, int]) -> None:
        self._outbox, self._bounds = outbox, bounds
        self._freed: asyncio.Future[None] | None = None
        self._of_topic: Counter[str] = Counter()
        self.held = self.held_bytes = 0

    def full(self, topic: str) -> bool:
        """Say whether an event of a topic must wait."""
        if (bound := self._bounds.get(topic)) is not None and self._of_topic[topic] >= bound:
            return True
        return self.held >= IN_FLIGHT or self.held_bytes >= IN_FLIGHT_BYTES or self._outbox.waiting > IN_FLIGHT

    def take(self, topic: str, size: int) -> None:
        """Hold one more event of `size` bytes."""
        self.held += 1
        self.held_bytes += size
        self._of_topic[topic] += 1

    def release(self, topic: str, count: int, size: int) -> None:
        """Let go of `count` events with `size` bytes together."""
        self.held -= count
        self.held_bytes -= size
        self._of_topic[topic] -= count
        self.look_again()

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
