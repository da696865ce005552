# SPDX-License-Identifier: Apache-2.0
"""C2: a worker is killed, again and again: one of two, and by turns both at once."""

from __future__ import annotations

from tests.chaos.scenarios.stage import Form, Scenario, Stage


async def play(stage: Stage) -> None:
    workers = stage.product.workers

    async def fire() -> None:
        for n in range(stage.form.times):
            await stage.moments(stage.form.times)
            victims = workers if n % 3 == 2 else [stage.random.choice(workers)]
            await stage.product.kill(*victims, away_s=stage.random.choice((0.0, 0.0, 2.0)))

    await stage.settle(await stage.under_fire(fire))


SCENARIO = Scenario(
    "C2",
    "kill -9 workers",
    "One of two workers is killed, every third time both, and started again at once or after 2 s. "
    "Asked: nothing lost, nothing stuck, the backlog is worked off within 120 s.",
    Form(6_000, 100, 10),
    Form(200_000, 150, 60),
    play,
)
