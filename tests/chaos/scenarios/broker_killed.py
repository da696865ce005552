# SPDX-License-Identifier: Apache-2.0
"""C3k: the broker is killed, and a few times ended cleanly; its data stay."""

from __future__ import annotations

import signal

from tests.chaos.scenarios.stage import DOUBTS, Form, Scenario, Stage

HARD = 5
"""Of seven; the other two are clean."""


async def play(stage: Stage) -> None:
    stage.doubts = DOUBTS
    back: list[float] = []
    kinds = [signal.SIGKILL if n % 7 < HARD else signal.SIGTERM for n in range(stage.form.times)]
    stage.random.shuffle(kinds)

    async def fire() -> None:
        for number in kinds:
            await stage.moments(stage.form.times)
            back.append(await stage.product.kill(stage.product.stack.kafka, number=number))

    await stage.settle(await stage.under_fire(fire))
    hard = sum(number == signal.SIGKILL for number in kinds)
    stage.row.measured["hard, clean"] = f"{hard}, {len(kinds) - hard}"
    stage.row.measured["Kafka is back"] = f"{min(back):.1f}-{max(back):.1f} s"


SCENARIO = Scenario(
    "C3k",
    "kill -9 the broker",
    "Kafka is killed, two times of seven asked to end (SIGTERM), and started again on its data. Asked: nothing lost.",
    Form(5_000, 75, 7),
    Form(100_000, 75, 40),
    play,
    waits=True,
)
