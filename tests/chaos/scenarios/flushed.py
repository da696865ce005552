# SPDX-License-Identifier: Apache-2.0
"""C5: everything in Valkey is deleted in the middle of the load."""

from __future__ import annotations

import asyncio
import time
from random import Random

import redis

from tests.chaos.accounting import Sent
from tests.chaos.ledger import Load
from tests.chaos.scenarios.stage import Form, Scenario, Stage

AGAIN = 200
"""Events that are posted once more afterwards."""


async def play(stage: Stage) -> None:
    async def fire() -> None:
        for n in range(stage.form.times):
            began = stage.span_s / (stage.form.times + 1) * (n + 1)
            await asyncio.sleep(max(0.0, start + began - time.monotonic()))
            await asyncio.to_thread(_flush, stage.product.stack.redis)

    start = time.monotonic()
    sent = await stage.under_fire(fire)
    await stage.settle(sent)
    await posted_again(stage, sent)
    await stage.settle(sent)


def _flush(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()


async def posted_again(stage: Stage, sent: list[Sent]) -> None:
    """Post some of the events once more; the bytes and ids are those of the first time, as the seed makes the same load."""
    load = Load(stage.form.events, 1e9, stage.seed, "chaos", tuple(stage.kinds))
    chosen = set(Random(stage.seed).sample(range(len(sent)), min(AGAIN, len(sent))))
    before = {s.id: s for s in sent if s.verdict == "accepted"}
    again = [s for s in await stage.ledger.produce(load, only=chosen) if s.id in before]
    equal = sum(s.verdict == "accepted" and s.receipt == before[s.id].receipt for s in again)
    stage.row.measured["posted again"] = f"{equal} of {len(again)} got their first receipt"
    stage.asked(equal == len(again), f"the duplicate window: {len(again) - equal} of {len(again)} got another receipt")


SCENARIO = Scenario(
    "C5",
    "FLUSHALL at half of the load",
    "Everything in Valkey is deleted in the middle of the load. Asked: nothing lost; after the rebuild every status equals the "
    "topics', and an event that is posted again gets its first receipt.",
    Form(4_000, 100, 1),
    Form(100_000, 150, 5),
    play,
)
