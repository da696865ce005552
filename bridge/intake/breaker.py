# SPDX-License-Identifier: Apache-2.0
"""
Notice within a second that the broker is silent, so that new requests need not each find out for themselves.

Used by the intake on its loop; `now` is always the loop's clock in seconds. Pure.
"""

from __future__ import annotations

from typing import Final

SILENCE_S: Final = 1.0
PROBE_EVERY_S: Final = 0.2


class Breaker:
    """
    Opens when records wait and none was confirmed for a second; closes with the first one that is.

    Failures are no sign of life: a report that says "not confirmed" comes from the client library, not from the broker.
    """

    __slots__ = ("_next_probe", "_sign", "_waiting", "open")

    def __init__(self) -> None:
        self._waiting, self._sign, self._next_probe = 0, 0.0, 0.0
        self.open = False

    def lets_through(self, now: float) -> bool:
        """Say whether a request may try; while open, one in every 0.2 s may."""
        if not self.open:
            if self._waiting == 0 or now - self._sign <= SILENCE_S:
                return True
            self.open = True
        if now < self._next_probe:
            return False
        self._next_probe = now + PROBE_EVERY_S
        return True

    def sent(self, now: float) -> None:
        """A record was given to the client library."""
        if self._waiting == 0:
            self._sign = now
        self._waiting += 1

    def reported(self, confirmed: bool, now: float) -> None:
        """A record's fate is known."""
        self._waiting -= 1
        if confirmed:
            self._sign, self.open = now, False
