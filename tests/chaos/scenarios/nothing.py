# SPDX-License-Identifier: Apache-2.0
"""C0: nothing breaks. The measure of all the others, and the latency that is asked for."""

from __future__ import annotations

from tests.chaos.scenarios.stage import Form, Scenario, Stage, from_post_to_result_ms, p99

ACCEPT_MS, RESULT_MS = 50.0, 2000.0
WARM = 5_000
"""Events before the ones that are timed: in its first half minute the broker's compiler takes a core from everything else."""


async def play(stage: Stage) -> None:
    warm = await stage.produce("warm", WARM)
    cold = len(stage.ledger.attempts)
    await stage.settle(warm + await stage.produce())
    assert stage.facts is not None
    accept = p99([one.took_s * 1000 for one in stage.ledger.attempts[cold:]])
    result = p99(from_post_to_result_ms(stage.facts, lambda s: not s.id.startswith("warm")))
    stage.row.measured |= {"p99 to the 202": f"{accept:.0f} ms", "p99 to the result": f"{result:.0f} ms"}
    stage.asked(accept <= ACCEPT_MS, f"p99 to the 202 is {accept:.0f} ms, asked {ACCEPT_MS:.0f}")
    stage.asked(result <= RESULT_MS, f"p99 to the result is {result:.0f} ms, asked {RESULT_MS:.0f}")
    stage.asked(not stage.row.duplicated, "nothing may be repeated")


SCENARIO = Scenario(
    "C0",
    "none",
    "Nothing breaks. Asked: nothing lost, repeated or out of order; p99 to the 202 at most 50 ms, to the result at most 2 s.",
    Form(15_000, 250, 0),
    Form(1_000_000, 500, 0),
    play,
)
