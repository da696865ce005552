# SPDX-License-Identifier: Apache-2.0
"""
Rate windows in this process's memory, for the time in which Redis cannot be asked.

Used by the intake on its loop: exact sliding windows like the gate's, at each quota divided by the number of web processes.
Every outage begins with empty windows. Pure; `now_ms` is any clock that never steps back.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bridge.domain.errors import Quota
from bridge.domain.limits import Window

TENANTS: Final = 10_000
MOMENTS: Final = 1_000_000  # (millisecond, count) pairs in all: about 100 MB at the very worst


@dataclass(slots=True)
class _Log:
    """What one tenant sent: a pair per millisecond (when, how many until then), the oldest first."""

    moments: deque[tuple[int, int]] = field(default_factory=deque)
    forgotten: int = 0  # how many left before the first pair

    @property
    def total(self) -> int:
        return self.moments[-1][1] if self.moments else self.forgotten

    def before(self, index: int) -> int:
        """How many were sent before the pair at `index`."""
        return self.moments[index - 1][1] if index else self.forgotten

    def first(self, field: int, above: int) -> int:
        """The first pair whose time (0) or count (1) is above a number."""
        low, high = 0, len(self.moments)
        while low < high:
            middle = (low + high) // 2
            if self.moments[middle][field] > above:
                high = middle
            else:
                low = middle + 1
        return low


class LocalLimits:
    """The windows of at most `tenants` tenants; the one that was quiet for longest is forgotten first."""

    def __init__(self, web_processes: int, tenants: int = TENANTS, moments: int = MOMENTS) -> None:
        self._share, self._tenants, self._most = web_processes, tenants, moments
        self._logs: OrderedDict[str, _Log] = OrderedDict()
        self._held = 0

    def ask(self, tenant: str, windows: Sequence[Window], events: int, now_ms: int) -> tuple[int, tuple[Quota, ...]]:
        """
        Count `events` in all windows, or in none.

        Shape: returns the seconds until they would fit (0: they are counted), and what is left of each window.
        """
        log = self._log(tenant)
        self._forget(log, now_ms - 1000 * max((w.seconds for w in windows), default=0))
        shares = [(w, max(1, w.quota // self._share)) for w in windows]
        states = [_state(log, window, share, events, now_ms) for window, share in shares]
        wait_ms = max((wait for _, _, wait in states), default=0)
        counted = 0 if wait_ms else events
        if counted and windows:
            self._add(log, now_ms, events)
        quotas = tuple(
            Quota(f"{window.seconds}s", share, window.seconds, left - counted, math.ceil(reset_ms / 1000))
            for (window, share), (left, reset_ms, _) in zip(shares, states, strict=True)
        )
        return (max(1, math.ceil(wait_ms / 1000)) if wait_ms else 0), quotas

    def clear(self) -> None:
        """Forget everything: Redis counts again."""
        self._logs.clear()
        self._held = 0

    def _log(self, tenant: str) -> _Log:
        log = self._logs.get(tenant)
        if log is None:
            log = self._logs[tenant] = _Log()
        self._logs.move_to_end(tenant)
        while len(self._logs) > self._tenants or (self._held > self._most and len(self._logs) > 1):
            _, quiet = self._logs.popitem(last=False)
            self._held -= len(quiet.moments)
        return log

    def _forget(self, log: _Log, cutoff: int) -> None:
        while log.moments and log.moments[0][0] <= cutoff:
            log.forgotten = log.moments.popleft()[1]
            self._held -= 1

    def _add(self, log: _Log, now_ms: int, events: int) -> None:
        total = log.total + events
        if log.moments and log.moments[-1][0] == now_ms:
            log.moments[-1] = (now_ms, total)
        else:
            log.moments.append((now_ms, total))
            self._held += 1


def _state(log: _Log, window: Window, share: int, events: int, now_ms: int) -> tuple[int, int, int]:
    """Give what is left of a window, the ms until its oldest event leaves, and the ms until `events` more fit."""
    length = window.seconds * 1000
    first = log.first(0, now_ms - length)
    gone = log.before(first)
    held = log.total - gone
    reset_ms = log.moments[first][0] + length - now_ms if held else length
    over = held + events - share
    if over <= 0:
        return share - held, reset_ms, 0
    if over > held:
        return share - held, reset_ms, length
    last_to_leave = log.first(1, gone + over - 1)
    return share - held, reset_ms, log.moments[last_to_leave][0] + length - now_ms
