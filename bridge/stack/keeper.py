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
        self._due = 0.0
        """When it may be started again; 0 where it has not been seen to have ended."""
        self._why = ""
        """Why the last try to start it failed, which is said once."""

    def look(self) -> bool:
        """
        Start the part again where it has ended and its pause is over; tells whether that happened now.

        Where the system does not let it start (a full disk), that is said, and tried again.
        """
        if self.part.running:
            return False
        now = time.monotonic()
        if not self._due:
            self._ends = 0 if now - self._started > STEADY_S else self._ends + 1
            self._pause(now)
            self._say(f"{self.part.name} ended with {self.part.exit_code}; starting it again (log: {self.part.log})")
        if now < self._due:
            return False
        try:
            self.part.spawn()
        except OSError as err:
            self._ends += 1
            self._pause(now)
            if self._why != (why := str(err)):
                self._say(f"{self.part.name} cannot be started: {why}; trying again")
            self._why = why
            return False
        self._started, self._due, self._why = now, 0.0, ""
        return True

    def _pause(self, now: float) -> None:
        self._due = now + PAUSES_S[min(self._ends, len(PAUSES_S) - 1)]
