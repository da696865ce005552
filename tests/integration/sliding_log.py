# SPDX-License-Identifier: Apache-2.0
"""What rate windows must do, as plainly as it can be said: the reference that the gate and the local limits are held to."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.limits import Window


class SlidingLog:
    """Keeps every event that was let in, for ever, and counts."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows, self.log = windows, list[int]()

    def ask(self, now_ms: int, events: int) -> tuple[int, list[tuple[int, int]]]:
        """Give the seconds to wait (0: let in), and per window what remains and when its oldest event leaves."""
        inside = [[t for t in self.log[-2000:] if t > now_ms - w.seconds * 1000] for w in self.windows]
        wait_ms = max(self._wait(w, held, now_ms, events) for w, held in zip(self.windows, inside, strict=True))
        taken = 0 if wait_ms else events
        if not wait_ms:
            self.log += [now_ms] * events
        states = []
        for window, held in zip(self.windows, inside, strict=True):
            reset_ms = (held[0] - now_ms if held else 0) + window.seconds * 1000
            states.append((window.quota - len(held) - taken, -(-reset_ms // 1000)))
        return (max(1, -(-wait_ms // 1000)) if wait_ms else 0), states

    def _wait(self, window: Window, held: list[int], now_ms: int, events: int) -> int:
        """Try every moment at which an event leaves, the first one first."""
        moments = [now_ms, *(t + window.seconds * 1000 for t in held)]
        for moment in moments:
            left = [t for t in held if t > moment - window.seconds * 1000]
            if len(left) + events <= window.quota:
                return moment - now_ms
        return window.seconds * 1000
