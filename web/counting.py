# SPDX-License-Identifier: Apache-2.0
"""
How answered requests are counted: many of one turn of the loop at once, because each number takes a lock of its own.

The RSGI door has a `Tally` on its loop; the Flask views, which run in threads, count each request by itself.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from functools import lru_cache
from typing import Any

from bridge.metrics import INGRESS_DURATION, INGRESS_IN_PROGRESS, INGRESS_REQUESTS, Histogram


class Tally:
    """Counts at the end of the loop's turn, or, without a loop, at once."""

    __slots__ = ("_began", "_due", "_ended", "_loop")

    def __init__(self, loop: AbstractEventLoop | None = None) -> None:
        self._loop, self._due = loop, False
        self._began = 0
        self._ended: list[tuple[str, int, float]] = []

    def began(self) -> None:
        """A request has come."""
        self._began += 1
        if not self._due:
            self._schedule()

    def ended(self, dialect: str, status: int, seconds: float) -> None:
        """A request that had come was answered."""
        self._ended.append((dialect, status, seconds))
        if not self._due:
            self._schedule()

    def _schedule(self) -> None:
        if self._loop is None:
            self._count()
        else:
            self._due = True
            self._loop.call_soon(self._count)

    def _count(self) -> None:
        change, self._began, self._due = self._began - len(self._ended), 0, False
        ended, self._ended = self._ended, []
        INGRESS_IN_PROGRESS.inc(change)
        statuses: dict[tuple[str, int], int] = {}
        durations: dict[str, list[float]] = {}
        for dialect, status, seconds in ended:
            of = dialect, status
            if of in statuses:
                statuses[of] += 1
                durations[dialect].append(seconds)
            else:
                statuses[of] = 1
                durations.setdefault(dialect, []).append(seconds)
        for (dialect, status), requests in statuses.items():
            _requests(dialect, status).inc(requests)
        for dialect, seconds_each in durations.items():
            _duration(dialect).observe_all(seconds_each)


def count(dialect: str, status: int, seconds: float) -> None:
    """Count one answered request at once; from any thread."""
    _requests(dialect, status).inc()
    _duration(dialect).observe(seconds)


@lru_cache(maxsize=1024)
def _requests(dialect: str, status: int) -> Any:
    return INGRESS_REQUESTS.labels(dialect, str(status))


@lru_cache(maxsize=64)
def _duration(dialect: str) -> Histogram:
    return INGRESS_DURATION.labels(dialect)
