# SPDX-License-Identifier: Apache-2.0
"""
How long something has not moved, in time that counts.

Time counts while Kafka answers and this process runs. Where more lies between two looks than `LOOK_S`, either Kafka was away
or we were (stopped, or without a turn of the processor), so the rest does not count; after `SILENT_S` everything begins anew,
because whoever has lost its connections needs time to make new ones.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Final

LOOK_S: Final = 1.5
SILENT_S: Final = 5.0


@dataclass(slots=True)
class _Standing:
    place: Hashable
    since: float
    counted: float = 0.0


class Stillness:
    """Told, once per look, where each thing is. Times are seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._of: dict[Hashable, _Standing] = {}
        self._looked, self._passed = now, 0.0

    def look(self, now: float) -> None:
        """Begin a look; what `see` adds is what counts of the time since the last one."""
        passed, self._looked = now - self._looked, now
        self._passed = min(passed, LOOK_S)
        if passed > SILENT_S:
            self._passed = 0.0
            for standing in self._of.values():
                standing.counted = 0.0

    def see(self, what: Hashable, place: Hashable, *, counts: bool = True) -> float:
        """Say how long `what` has been at `place`; the time since the last look is left out where it does not count."""
        known = self._of.get(what)
        if known is None or known.place != place:
            self._of[what] = _Standing(place, self._looked)
            return 0.0
        if counts:
            known.counted += self._passed
        return known.counted

    def age(self, what: Hashable, now: float) -> float:
        """Give the whole time that it has been there, counting or not; 0 where nothing is known of it."""
        known = self._of.get(what)
        return now - known.since if known else 0.0

    def keep(self, whats: Collection[Hashable]) -> None:
        """Forget everything else."""
        for gone in self._of.keys() - set(whats):
            del self._of[gone]
