# SPDX-License-Identifier: Apache-2.0
"""A process's state as its author sees it, and what a process that keeps some must be."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.retry import tiers
from bridge.hosting.rules import faults_of
from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, Rejected, State
from bridge.sdk.testing import event, run
from bridge.settings import Settings
from bridge.topics import TAKEN, catalogue, lane, results, retries, state


class Counter(Process[NoConfig]):
    name, version, events, ordered, state = "counter", "1", ("count.*",), True, "counts"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        context.state.put((context.state.get() or 0) + 1)
        return Rejected("no", "no") if event.type == "count.no" else Completed(context.state.get())


class Stateless(Counter):
    name, state = "stateless", ""


async def test_state_goes_from_run_to_run_and_only_what_completes_changes_it() -> None:
    kept = State()
    assert await run(Counter(), event("count.up"), state=kept) == Completed(1)
    assert isinstance(await run(Counter(), event("count.no"), state=kept), Rejected)
    assert await run(Counter(), event("count.up"), state=kept) == Completed(2)
    assert kept.get() == 2


async def test_a_process_without_state_is_told_how_to_get_some() -> None:
    with pytest.raises(RuntimeError, match="state = 'orders'"):
        await run(Stateless(), event("count.up"))


def test_nothing_can_be_kept_and_what_is_no_json_cannot() -> None:
    kept = State(b'{"a":1}')
    kept.put(None)
    assert (kept.get(), kept.kept, kept.changed) == (None, b"", True)
    with pytest.raises(TypeError):
        kept.put(object())
    with pytest.raises(ValueError, match="JSON"):
        kept.put(float("nan"))


def test_what_json_can_say_comes_back_as_it_was() -> None:
    kept, said = State(), {"n": 2**70, "name": "Zoë ☂", "list": [1, 2.5, None, True]}
    kept.put(said)
    assert State(kept.kept).get() == said


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"state": "Orders!"}, "lower-case letters"),
        ({"state": "results"}, "name of a topic"),
        ({"state": 5}, "lower-case letters"),
        ({"ordered": False}, "needs ordered = True"),
        ({"lane": "own"}, "the shared lane"),
        ({"isolation": "process"}, "isolation = 'loop'"),
    ],
)
def test_what_a_process_with_state_must_be(members: dict[str, Any], said: str) -> None:
    assert faults_of(Counter()) == []
    faults = faults_of(type("Wrong", (Counter,), members)())
    assert any(said in fault for fault in faults), faults


def test_no_state_has_the_name_of_another_topic() -> None:
    settings = Settings()
    known = [*catalogue(settings), results("x"), lane("x"), *map(retries, tiers("5s"))]
    assert {topic.suffix.partition(".")[0] for topic in known} <= TAKEN
    assert state("orders").name(settings) == "bridge.orders"
