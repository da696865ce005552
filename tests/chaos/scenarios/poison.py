# SPDX-License-Identifier: Apache-2.0
"""P1: events that always fail come between good ones, which must not feel them."""

from __future__ import annotations

from tests.chaos.accounting import Sent
from tests.chaos.ledger import KINDS
from tests.chaos.scenarios.stage import Form, Scenario, Stage, from_post_to_result_ms, p99

GOOD = tuple(kind for kind in KINDS if kind.results)
MIXED = tuple(kind for kind in KINDS if kind.results or kind.name == "fail")
ROUNDS = 3
GROWTH = 1.2
WARM = 500


async def play(stage: Stage) -> None:
    sent: list[Sent] = await stage.produce("warm", WARM, GOOD)
    for n in range(ROUNDS):
        for name, kinds in (("alone", GOOD), ("mixed", MIXED)):
            sent += await stage.produce(f"{name}-{n}", stage.form.events // (2 * ROUNDS), kinds)
    await stage.settle(sent)
    assert stage.facts is not None
    alone, mixed = (
        p99(from_post_to_result_ms(stage.facts, lambda s, name=name: s.id.startswith(name)))  # type: ignore[misc]
        for name in ("alone", "mixed")
    )
    poison = sum(s.status == "failed" for s in sent)
    stage.row.times = poison
    stage.row.measured |= {"good ones' p99": f"{alone:.0f} ms alone, {mixed:.0f} ms beside poison ({mixed / alone:.2f} times)"}
    stage.row.measured["dead letters"] = f"{len({d.execution_id for d in stage.facts.dead})} of {poison}, after 3 attempts each"
    stage.asked(mixed <= GROWTH * alone, f"good ones' p99 grew {mixed / alone:.2f} times, asked {GROWTH}")


SCENARIO = Scenario(
    "P1",
    "poison between good events",
    "Every 16th event makes its process raise in all three attempts, by turns with a load without such. Asked: poison ends in "
    "the dead letters after the attempts of its policy, and the good ones' p99 to the result grows by 20 % at most.",
    Form(11_000, 150, 0),
    Form(60_000, 100, 0),
    play,
)
