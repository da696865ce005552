# SPDX-License-Identifier: Apache-2.0
"""
Tell Redis in the background what became of reserved events, in one call per turn of the loop.

Used by the intake. Nobody waits for it; where it fails for an event that Kafka has, the view has a hole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from bridge.metrics import EVENTS_ACCEPTED
from bridge.redis.connection import Reply
from bridge.redis.epoch import ViewGuard
from bridge.redis.gate import Entrant, Gate

CALL_EVENTS: Final = 200  # events of one script call: well under a millisecond of Redis' time

Outcome = tuple[Entrant, str, str]
"""An event, the owner of its reservation, and its `partition:offset`, empty where Kafka did not confirm it."""


class Settlement:
    """One per intake, on its loop."""

    def __init__(self, gate: Gate, guard: ViewGuard, loop: asyncio.AbstractEventLoop) -> None:
        self._gate, self._guard, self._loop = gate, guard, loop
        self._outcomes: list[Outcome] = []
        self._calls = 0

    @property
    def busy(self) -> bool:
        """Whether Redis has not been told everything yet, a hole in the view included."""
        return bool(self._outcomes) or self._calls > 0 or self._guard.open

    def say(self, outcome: Outcome) -> None:
        """Queue what became of one event; it leaves in this turn of the loop."""
        if not self._outcomes:
            self._loop.call_soon(self._flush)
        self._outcomes.append(outcome)

    def missed(self, why: str) -> None:
        """Say that the view may lack events that Kafka has."""
        self._guard.hole(why)

    def _flush(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        for start in range(0, len(outcomes), CALL_EVENTS):
            self._tell(outcomes[start : start + CALL_EVENTS])

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        confirmed = sum(1 for _, _, position in outcomes if position)
        EVENTS_ACCEPTED.inc(confirmed)
        self._calls += 1

        def told(reply: Reply) -> None:
            self._calls -= 1
            if confirmed and reply != 0:
                self._guard.hole(f"what became of accepted events: {reply}" if isinstance(reply, Exception) else "a lost view")

        self._gate.settle(outcomes, told)
