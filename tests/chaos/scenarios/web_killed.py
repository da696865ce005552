# SPDX-License-Identifier: Apache-2.0
"""C1: the web server is killed, again and again: its one serving process, or the whole of it."""

from __future__ import annotations

import psutil

from tests.chaos.scenarios.stage import Form, Scenario, Stage

READY_S = 5.0


async def play(stage: Stage) -> None:
    back: list[float] = []

    async def fire() -> None:
        for n in range(stage.form.times):
            await stage.moments(stage.form.times)
            back.append(await (_serving if n % 2 else _whole)(stage))

    await stage.settle(await stage.under_fire(fire))
    stage.row.measured["ready again"] = f"{min(back):.1f}-{max(back):.1f} s"
    stage.asked(max(back) <= READY_S, f"ready again after {max(back):.1f} s, asked {READY_S:.0f}")


async def _whole(stage: Stage) -> float:
    return await stage.product.kill(stage.product.webs[0])


async def _serving(stage: Stage) -> float:
    """Kill the process that serves; its supervisor ends or replaces it."""
    web = stage.product.webs[0]
    children = psutil.Process(web.pid).children()
    return await stage.product.child_killed(web, stage.random.choice(children).pid)


SCENARIO = Scenario(
    "C1",
    "kill -9 the web server",
    "By turns the whole of `evb web` and its serving process are killed and started again at once. "
    "Asked: nothing lost, ready again within 5 s.",
    Form(10_000, 150, 10),
    Form(200_000, 150, 60),
    play,
)
