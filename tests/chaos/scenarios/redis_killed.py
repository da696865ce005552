# SPDX-License-Identifier: Apache-2.0
"""C4: Valkey, which keeps nothing, is killed and kept away for a while; the door goes on accepting."""

from __future__ import annotations

import time

from tests.chaos.scenarios.stage import Form, Scenario, Stage

LONGEST_S = 4.0


async def play(stage: Stage) -> None:
    away: list[tuple[float, float]] = []

    async def fire() -> None:
        for _ in range(stage.form.times):
            await stage.moments(stage.form.times)
            began, length = time.time(), stage.random.uniform(0.5, LONGEST_S)
            await stage.product.kill(stage.product.stack.valkey, away_s=length)
            away.append((began, began + length))

    await stage.settle(await stage.under_fire(fire))
    inside = [a for a in stage.ledger.attempts for began, ended in away if began < a.began < ended]
    accepted = sum(a.status == 202 for a in inside)
    stage.row.measured["accepted without Valkey"] = f"{accepted} of {len(inside)} requests in {_seconds(away):.0f} s"
    stage.asked(accepted >= 0.95 * len(inside), f"only {accepted} of {len(inside)} were accepted without Valkey")


def _seconds(spans: list[tuple[float, float]]) -> float:
    return sum(ended - began for began, ended in spans)


SCENARIO = Scenario(
    "C4",
    "kill -9 Valkey",
    "Valkey, which keeps nothing, is killed and kept away for 0.5 to 4 s. Asked: nothing lost, the door goes on accepting, and "
    "every look-up afterwards agrees with the topics.",
    Form(5_000, 100, 5),
    Form(100_000, 100, 30),
    play,
)
