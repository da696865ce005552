# SPDX-License-Identifier: Apache-2.0
"""C3n: the network to the broker is cut, has a latency of 200 ms, or lets through 1,000 bytes a second."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import cycle, islice

from tests.chaos.accounting import Sent
from tests.chaos.ledger import Attempt
from tests.chaos.scenarios.asking import asking, in_time
from tests.chaos.scenarios.stage import CHAOS, DOUBTS, Form, Scenario, Stage
from tests.chaos.wire import State

LASTS_S = (8.0, 15.0)
STATES: tuple[State, ...] = ("cut", "slow", "narrow")


async def play(stage: Stage) -> None:
    stage.doubts = DOUBTS
    asked: list[tuple[State, float, Sent, Attempt]] = []

    async def fire() -> None:
        for state in islice(cycle(STATES), stage.form.times):
            await stage.moments(stage.form.times, stage.span_s / 4)
            asked.extend(await _broken(stage, state))

    sent = await stage.under_fire(fire)
    await stage.settle(sent + [probe for _, _, probe, _ in asked])
    for state in STATES:
        _judge(stage, state, [(ended, attempt) for one, ended, _, attempt in asked if one == state])


def _judge(stage: Stage, state: State, asked: list[tuple[float, Attempt]]) -> None:
    in_time(stage, state, [attempt for _, attempt in asked])
    statuses = Counter(attempt.status for _, attempt in asked)
    stage.asked(statuses.keys() <= {202, 503}, f"{state}: answered {sorted(statuses)}, asked 202 or 503")
    early = [attempt for ended, attempt in asked if attempt.status == 202 and attempt.began + attempt.took_s < ended]
    stage.asked(state != "cut" or not early, f"{len(early)} requests got a 202 while the network was cut")
    stage.asked(state != "slow" or statuses[503] == 0, f"{statuses[503]} requests were refused though the network was only slow")
    slowest = max((attempt.took_s for _, attempt in asked), default=0.0)
    said = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    stage.row.measured[f"{state}: asked meanwhile"] = f"{said}, within {slowest:.1f} s"


async def _broken(stage: Stage, state: State) -> list[tuple[State, float, Sent, Attempt]]:
    """Break the network for a seeded time, and ask the door twice a second; gives each answer with the time of the mending."""
    wire = stage.product.wire
    assert wire is not None
    began, lasts = time.time(), stage.random.uniform(*LASTS_S)
    wire.become(state)
    try:
        async with asking(stage, f"{state}-{began:.0f}") as asked:
            await asyncio.sleep(lasts)
            ended = time.time()
            wire.become("whole")
    finally:
        wire.become("whole")
    await stage.product.answering([stage.product.stack.kafka])
    return [(state, ended, *answer) for answer in asked]


SCENARIO = Scenario(
    "C3n",
    "network to the broker: cut, 200 ms, 1 kB/s",
    "By turns all connections to the broker are cut and no new ones come about, each piece takes 200 ms longer, or a connection "
    "lets 1,000 bytes a second through, for 8 to 15 s each. Asked: 202 or 503 with Retry-After within 5 s, no 202 while it is "
    "cut, no 503 while it is only slow, and nothing lost.",
    Form(4_000, 50, 3),
    Form(60_000, 50, 30),
    play,
    layout=CHAOS.wired(),
    waits=True,
)
