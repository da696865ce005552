# SPDX-License-Identifier: Apache-2.0
"""
Whoever takes a partition over asks whether the live view has everything that was committed before.

A worker that was killed takes along what it had not told Redis yet, and nobody else knows. But what it had finished it had
committed, and the view says up to where it has been told: where that lies behind, the view has a hole.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bridge.domain.errors import ViewUnavailable
from bridge.redis.epoch import ViewGuard, whole
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.settings import Settings

GRACE_S: Final = 1.5
"""How long the last facts of a former owner may be on their way."""
RETRY_S: Final = 0.2

Place = int | str
"""A partition of the events by its number, of another topic by topic and number."""


class Takeover:
    """One per projection. While a place is `open`, nothing may be said of how far the view has come there."""

    def __init__(self, pipe: Pipe, settings: Settings, guard: ViewGuard) -> None:
        self._pipe, self._guard, self._keys = pipe, guard, Keys(settings.topic_prefix)
        self._committed: dict[Place, tuple[int, float]] = {}
        self._wake = asyncio.Event()

    def begin(self, place: Place, committed: int) -> None:
        """Say that we go on here from a committed offset."""
        if committed > 0:
            self._committed[place] = committed, asyncio.get_running_loop().time() + GRACE_S
            self._wake.set()

    def open(self, place: Place) -> bool:
        """Say whether the question is not answered yet."""
        return place in self._committed

    async def run(self) -> None:
        """Ask, and declare holes, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._committed:
                now = asyncio.get_running_loop().time()
                ripe = {place: offset for place, (offset, at) in self._committed.items() if at <= now}
                if ripe:
                    await self._ask(ripe)
                await asyncio.sleep(RETRY_S)

    async def _ask(self, ripe: dict[Place, int]) -> None:
        try:
            told: list[Any] = await self._pipe.call("HMGET", self._keys.passed, *map(str, ripe))
            epoch = await self._pipe.call("GET", self._keys.epoch)
        except ViewUnavailable:
            return  # asked again: as long as nobody knows, nothing is said
        behind = [place for (place, offset), known in zip(ripe.items(), told, strict=True) if _behind(place, offset, known)]
        if behind and whole(epoch, self._pipe.run_id):  # else the view is rebuilt anyway
            self._guard.hole(f"an earlier owner of {behind[0]} had not told everything that it had committed")
        for place, offset in ripe.items():
            if self._committed.get(place, (None,))[0] == offset:
                del self._committed[place]


def _behind(place: Place, committed: int, told: bytes | None) -> bool:
    """A rebuild says how far the events are, and nothing of the other topics: their absence means nothing."""
    if told is None:
        return isinstance(place, int)
    return int(told) < committed
