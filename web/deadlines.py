# SPDX-License-Identifier: Apache-2.0
"""Deadlines that all last equally long, kept for the price of one dictionary entry instead of one timer each."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Hashable

PRECISION_S = 0.1


class Deadlines:
    """
    Call `expired()` of whatever is still held `seconds` after it was added, up to a tenth of a second later.

    Lives on one loop. Entries expire in the order in which they came, because all last equally long.
    """

    def __init__(self, loop: AbstractEventLoop, seconds: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._held: dict[Hashable, tuple[float, Callable[[], object]]] = {}
        self._armed = False

    def add(self, key: Hashable, expired: Callable[[], object]) -> None:
        """Begin a deadline."""
        self._held[key] = (self._loop.time() + self._seconds, expired)
        if not self._armed:
            self._armed = True
            self._loop.call_later(PRECISION_S, self._sweep)

    def remove(self, key: Hashable) -> None:
        """End a deadline that was kept; nothing happens where it has expired."""
        self._held.pop(key, None)

    def _sweep(self) -> None:
        now = self._loop.time()
        late = []
        for key, (due, expired) in self._held.items():
            if due > now:
                break
            late.append((key, expired))
        for key, expired in late:
            self._held.pop(key, None)
            expired()
        self._armed = bool(self._held)
        if self._armed:
            self._loop.call_later(PRECISION_S, self._sweep)
