# SPDX-License-Identifier: Apache-2.0
"""Keeps one part alive: when it ended, for whatever reason, it is started again after a pause that grows while that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.stack.part import Part

PAUSES_S = (0.1, 0.5, 1.0, 2.0)
"""With the longest of them, a worker that is ended again and again is still back within 5 s each time."""
STEADY_S = 10.0
"""A life of this length makes the next end count as the first."""


class Keeper:
    """Looks after one started part; `look` is called several times a second and never blocks."""

    def __init__(self, part: Part, say: Callable[[str], None]) -> None:
        self.part = part
        self._say = say
        self._ends = 0
        self._started = time.monotonic()
        self._due: float | None = None

    def look(self) -> bool:
        """Start the part again where it has ended and its pause is over; tells whether that happened now."""
        if self.part.running:
            return False
        now = time.monotonic()
        if self._due is None:
            self._ends = 0 if now - self._started > STEADY_S else self._ends + 1
            self._due = now + PAUSES_S[min(self._ends, len(PAUSES_S) - 1)]
            self._say(f"{self.part.name} ended with {self.part.exit_code}; starting it again (log: {self.part.log})")
        if now < self._due:
            return False
        self.part.spawn()
        self._started, self._due = now, None
        return True
