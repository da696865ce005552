# SPDX-License-Identifier: Apache-2.0
"""
C4: Valkey is killed and kept away for a while; the door goes on accepting.

In C4 it keeps nothing; in C4a what it was told until about a second before, which is worse: it must not be taken for the whole.
"""

from __future__ import annotations

import time

from tests.chaos.scenarios.stage import CHAOS, Form, Scenario, Stage

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
APPENDING = Scenario(
    "C4a",
    "kill -9 Valkey with a log",
    "As C4, with a Valkey that appends what it is told to a file, written to disk every second: it comes back without its last "
    "moments. Asked: the same.",
    Form(3_000, 100, 3),
    Form(60_000, 100, 18),
    play,
    layout=CHAOS.appending(),
)
