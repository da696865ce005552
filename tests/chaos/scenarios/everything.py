# SPDX-License-Identifier: Apache-2.0
"""C6: all faults at random."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.chaos.scenarios.stage import DOUBTS, Form, Scenario, Stage

Fault = Callable[[Stage], Awaitable[object]]


async def _web(stage: Stage) -> None:
    await stage.product.kill(stage.product.webs[0])


async def _worker(stage: Stage) -> None:
    await stage.product.kill(stage.random.choice(stage.product.workers))


async def _workers(stage: Stage) -> None:
    await stage.product.kill(*stage.product.workers)


async def _kafka(stage: Stage) -> None:
    await stage.product.kill(stage.product.stack.kafka)


async def _valkey(stage: Stage) -> None:
    await stage.product.kill(stage.product.stack.valkey, away_s=stage.random.uniform(0.0, 2.0))


async def _stopped(stage: Stage) -> None:
    kafka = stage.product.stack.kafka
    await stage.product.freeze(kafka)
    try:
        await asyncio.sleep(stage.random.uniform(1.0, 8.0))
    finally:
        stage.product.thaw(kafka)
    await stage.product.answering([kafka])


FAULTS: tuple[Fault, ...] = (_web, _worker, _workers, _kafka, _valkey, _stopped)


async def play(stage: Stage) -> None:
    stage.doubts = DOUBTS
    chosen = [FAULTS[n % len(FAULTS)] for n in range(stage.form.times)]
    stage.random.shuffle(chosen)

    async def fire() -> None:
        for fault in chosen:
            await stage.moments(stage.form.times)
            await fault(stage)

    await stage.settle(await stage.under_fire(fire))
    counts = {fault.__name__.strip("_"): chosen.count(fault) for fault in FAULTS}
    stage.row.measured["faults"] = ", ".join(f"{name} {count}" for name, count in counts.items())


SCENARIO = Scenario(
    "C6",
    "all at random",
    "Web server, one worker, both workers, broker and Valkey are killed, and the broker is stopped for 1 to 8 s, in a random "
    "order. Asked: nothing lost, nothing stuck, every look-up agrees with the topics.",
    Form(8_000, 75, 20),
    Form(150_000, 75, 120),
    play,
)
