# SPDX-License-Identifier: Apache-2.0
"""Asks the door twice a second while something is broken: one event each, on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from tests.chaos.accounting import Sent
from tests.chaos.ledger import Attempt
from tests.chaos.scenarios.stage import Stage

ASK_EVERY_S = 0.5
ANSWER_S = 5.0

Answers = list[tuple[Sent, Attempt]]


@asynccontextmanager
async def asking(stage: Stage, name: str) -> AsyncIterator[Answers]:
    """Ask for as long as the block lasts; when it has ended, the list has every answer. `name` makes the events' ids."""
    answers: Answers = []
    probes: list[asyncio.Task[tuple[Sent, Attempt]]] = []

    async def ask() -> None:
        for n in count():
            probes.append(group.create_task(stage.ledger.probe(f"probe-{name}-{n}", stage.kinds[0])))
            await asyncio.sleep(ASK_EVERY_S)

    async with asyncio.TaskGroup() as group:
        loop = group.create_task(ask())
        try:
            yield answers
        finally:
            loop.cancel()
    answers += [probe.result() for probe in probes]


def in_time(stage: Stage, name: str, asked: Sequence[Attempt]) -> None:
    """Ask that each of them was answered within five seconds, and each 503 with Retry-After."""
    late = [attempt for attempt in asked if attempt.took_s > ANSWER_S]
    stage.asked(not late, f"{name}: {len(late)} of {len(asked)} answers took more than {ANSWER_S:.0f} s")
    stage.asked(all(attempt.retry_after for attempt in asked if attempt.status == 503), f"{name}: a 503 without Retry-After")
