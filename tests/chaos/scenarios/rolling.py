# SPDX-License-Identifier: Apache-2.0
"""R: two web servers and two workers are restarted one after another while events flow."""

from __future__ import annotations

from bridge.stack.programs import Program
from tests.chaos.product import Layout
from tests.chaos.scenarios.stage import CHAOS, Form, Scenario, Stage

LEAVE_S = 30.0


async def play(stage: Stage) -> None:
    left: list[float] = []

    async def fire() -> None:
        for _ in range(stage.form.times):
            for program in (*stage.product.webs, *stage.product.workers):
                await stage.moments(4 * stage.form.times, stage.span_s / 2)
                left.append(await _restarted(stage, program))

    await stage.settle(await stage.under_fire(fire))
    refused = [a for a in stage.ledger.attempts if a.status >= 500]
    unconnected = sum(a.refused for a in stage.ledger.attempts)
    broken = sum(a.status == 0 for a in stage.ledger.attempts) - unconnected
    stage.row.measured["left within"] = f"{min(left):.1f}-{max(left):.1f} s"
    said = f"{len(refused)} answered 5xx, {unconnected} not connected, {broken} reset"
    stage.row.measured["requests"] = f"{len(stage.ledger.attempts)}, of them {said}"
    stage.asked(not refused, f"{len(refused)} answers of 5xx, e.g. {refused[0].said if refused else ''}")


async def _restarted(stage: Stage, program: Program) -> float:
    """Ask it to leave, and start it again; gives the seconds until it had left."""
    code, took = await stage.product.asked_to_leave(program)
    stage.asked(code == 0, f"{program.name} left with exit code {code}")
    stage.asked(took <= LEAVE_S, f"{program.name} took {took:.1f} s to leave, asked {LEAVE_S:.0f}")
    return took


SCENARIO = Scenario(
    "R",
    "rolling restart (SIGTERM)",
    "Two web servers and two workers are asked to leave, one after another, and started again, while a client posts that "
    "knows both URLs. Where a connection is reset or not accepted, it tries again, at the other one. Asked: nothing lost, no "
    "request refused with an answer of 5xx, each leaves within 30 s and with exit code 0.",
    Form(2_500, 100, 1),
    Form(50_000, 100, 10),
    play,
    Layout(webs=2, workers=2, processes=CHAOS.processes),
)
