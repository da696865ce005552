# SPDX-License-Identifier: Apache-2.0
"""C3: the broker stands still with its connections open, as a network that swallows everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.ledger import Attempt
from tests.chaos.scenarios.asking import ANSWER_S, Answers, asking, in_time
from tests.chaos.scenarios.stage import DOUBTS, Form, Scenario, Stage

SHORT_S, LONG_S = 1.0, 30.0


@dataclass
class Outages:
    """When the broker stood still, and the questions of that time, each with what it was answered."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    asked: Answers = field(default_factory=list)

    def inside(self, attempt: Attempt) -> bool:
        """Say whether an attempt began while the broker stood still and should have ended before it went on."""
        return any(began < attempt.began and attempt.began + min(attempt.took_s, ANSWER_S) < ended for began, ended in self.spans)


async def play(stage: Stage) -> None:
    stage.doubts = DOUBTS
    outages = Outages()

    async def fire() -> None:
        for length in _lengths(stage):
            await stage.moments(stage.form.times, stage.span_s / 3)
            await _outage(stage, length, outages)

    sent = await stage.under_fire(fire)
    await stage.settle(sent + [probe for probe, _ in outages.asked])
    _judge(stage, outages)


def _judge(stage: Stage, outages: Outages) -> None:
    accepted = [a for a in stage.ledger.attempts if a.status == 202 and outages.inside(a) and a.took_s < ANSWER_S]
    stage.asked(not accepted, f"{len(accepted)} requests got a 202 while the broker stood still")
    asked = [attempt for _, attempt in outages.asked if outages.inside(attempt)]
    in_time(stage, "meanwhile", asked)
    other = sorted({a.status for a in asked if a.status != 503 and a.took_s <= ANSWER_S})
    stage.asked(not other, f"answered {other} while the broker stood still, asked 503")
    slowest = max((a.took_s for a in asked), default=0.0)
    stage.row.measured["asked meanwhile"] = f"{len(asked)}, each answered 503 within {slowest:.1f} s"
    stage.row.measured["stood still"] = ", ".join(f"{ended - began:.0f}" for began, ended in outages.spans) + " s"


def _lengths(stage: Stage) -> Sequence[float]:
    """Give the seeded lengths of the outages, one of each part of the range, so that a short series has long ones too."""
    width = (LONG_S - SHORT_S) / stage.form.times
    lengths = [SHORT_S + width * (n + stage.random.random()) for n in range(stage.form.times)]
    stage.random.shuffle(lengths)
    return lengths


async def _outage(stage: Stage, length_s: float, outages: Outages) -> None:
    """Stop the broker for so long, and ask the door twice a second."""
    kafka, number = stage.product.stack.kafka, len(outages.spans)
    await stage.product.freeze(kafka)
    began = time.time()
    try:
        async with asking(stage, str(number)) as asked:
            await asyncio.sleep(length_s)
            outages.spans.append((began, time.time()))
            stage.product.thaw(kafka)
    finally:
        stage.product.thaw(kafka)
    outages.asked += asked
    await stage.product.answering([kafka])


SCENARIO = Scenario(
    "C3",
    "SIGSTOP the broker, 1-30 s",
    "The broker stands still with its connections open, for seeded times spread over 1 to 30 s, and the door is asked meanwhile. "
    "Asked: 503 with Retry-After within 5 s, never a 202, and nothing lost.",
    Form(4_000, 50, 5),
    Form(60_000, 50, 30),
    play,
    waits=True,
)
