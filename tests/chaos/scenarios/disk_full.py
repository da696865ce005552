# SPDX-License-Identifier: Apache-2.0
"""C7d: the broker's disk is full for a while."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace

from tests.chaos.disk import fill, relieve, small_disk
from tests.chaos.ledger import Attempt
from tests.chaos.scenarios.asking import Answers, asking, in_time
from tests.chaos.scenarios.stage import CHAOS, DOUBTS, Form, Scenario, Stage

LASTS_S = (10.0, 20.0)
BACK_S = 120.0
"""After that the broker has not come back, and the row ends."""


async def play(stage: Stage) -> None:
    stage.doubts = DOUBTS
    asked: Answers = []
    back: list[float] = []

    async def fire() -> None:
        for number in range(stage.form.times):
            await stage.moments(stage.form.times, stage.span_s / 2)
            async with asking(stage, str(number)) as answers:
                back.append(await _full(stage))
            asked.extend(answers)

    sent = await stage.under_fire(fire)
    ends = Counter(code for name, code in stage.product.ends if name == "kafka")
    stage.product.ends = [one for one in stage.product.ends if one[0] != "kafka"]  # a broker without room may end, and does
    await stage.settle(sent + [probe for probe, _ in asked])
    said = ", ".join(f"{count} times with {code}" for code, count in ends.items())
    stage.row.measured["Kafka ended on its own"] = said or "never"
    stage.row.measured["Kafka is back"] = f"{min(back):.1f}-{max(back):.1f} s after there was room"
    _judge(stage, [attempt for _, attempt in asked])


async def _full(stage: Stage) -> float:
    """Fill the disk for a seeded time; gives the seconds that the broker took to come back when there was room."""
    data = stage.product.stack.data
    try:
        await asyncio.to_thread(fill, data)
        await asyncio.sleep(stage.random.uniform(*LASTS_S))
    finally:
        relieve(data)
    began = time.monotonic()
    async with asyncio.timeout(BACK_S):
        await stage.product.answering([stage.product.stack.kafka])
    return time.monotonic() - began


def _judge(stage: Stage, asked: list[Attempt]) -> None:
    in_time(stage, "meanwhile", asked)
    statuses = Counter(attempt.status for attempt in asked)
    stage.asked(statuses.keys() <= {202, 503}, f"answered {sorted(statuses)} meanwhile, asked 202 (with its record) or 503")
    stage.asked(statuses[503] > 0, "the disk was never so full that the door refused anything")
    slowest = max(attempt.took_s for attempt in asked)
    said = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    stage.row.measured["asked meanwhile"] = f"{said}, within {slowest:.1f} s"


SCENARIO = Scenario(
    "C7d",
    "disk full",
    "The broker's data lie on a disk of their own, which is filled to its last page for 10 to 20 s; the broker is started again "
    "whenever it ends. Asked: 202 with its record or 503 with Retry-After within 5 s, nothing lost, and everything goes on when "
    "there is room again.",
    Form(3_000, 50, 1),
    Form(20_000, 50, 5),
    play,
    layout=replace(CHAOS, around=small_disk),
)
