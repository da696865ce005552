# SPDX-License-Identifier: Apache-2.0
"""How much a worker holds at once: events and bytes that are read and not finished, over all partitions; more wait in Kafka."""

from __future__ import annotations

import asyncio

from bridge.domain.limits import MIB
from processors.outbox import Outbox

IN_FLIGHT = 2000
IN_FLIGHT_BYTES = 64 * MIB
AGAIN_IN_FLIGHT = 100
"""Redeliveries among them: a replay of any size leaves the rest to what is new."""


class Room:
    """One per worker, on the loop's thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._freed: asyncio.Future[None] | None = None
        self.held = self.held_bytes = self.again = 0

    def full(self, *, again: bool) -> bool:
        """Say whether an event must wait; `again` says that it is a redelivery."""
        if again and self.again >= AGAIN_IN_FLIGHT:
            return True
        return self.held >= IN_FLIGHT or self.held_bytes >= IN_FLIGHT_BYTES or self._outbox.waiting > IN_FLIGHT

    def take(self, size: int, *, again: bool) -> None:
        """Hold one more event of `size` bytes."""
        self.held += 1
        self.again += again
        self.held_bytes += size

    def release(self, count: int, size: int, *, again: bool) -> None:
        """Let go of `count` events with `size` bytes together."""
        self.held -= count
        self.again -= count * again
        self.held_bytes -= size
        self.look_again()

    async def wait(self) -> None:
        """Wait until something may have changed."""
        if self._freed is None:
            self._freed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._freed)  # both agents wait for it, and one of them may be cancelled

    def look_again(self) -> None:
        """Wake whoever waits."""
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set_result(None)
