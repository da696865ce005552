# SPDX-License-Identifier: Apache-2.0
"""The process that advances runs: what it cannot do now it tries again, and nothing that it gives away is refused later."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.domain.event import MAX_HOPS, Event
from bridge.runs.carried import TYPE, signal_event
from bridge.sdk import Completed, Context, Outcome, Rejected, RetryLater, State
from bridge.workflows.reading import check
from bridge.workflows.run import Parent, decode
from bridge.workflows.signals import Cancel, Signal, Start, TaskEnded, Timer
from bridge.workflows.signals import decode as signal_of
from processors.builtin.runs import Runs
from processors.outcomes.outputs import Made
from processors.stream.given import PLACE

DEEP = json.loads("[" * 300 + "]" * 300)
DOCUMENT = {"name": "w", "tasks": [{"name": "t", "type": "process", "processRef": "p", "params": {"v": "$(params.data)"}}]}


def registry(*numbers: int) -> Any:
    workflow = check(DOCUMENT)
    versions = [SimpleNamespace(number=number) for number in numbers]
    return SimpleNamespace(
        workflows=SimpleNamespace(
            versions=lambda _tenant, _name: versions,
            of_run=lambda run: workflow if run.version in numbers else None,
        )
    )


async def run(signal: Signal, state: State, *numbers: int, tenant: str = "acme", type_: str = TYPE) -> Outcome:
    event = signal_event(tenant, "r1", "k1", signal, 1_000_000)
    place = {PLACE: "bridge.signals/0/7", "type": type_}
    context: Any = SimpleNamespace(state=state, execution_id="x1")
    given: Context[Any] = context
    return await Runs(registry(*numbers), 720).run(Event({**event.attributes, **place}, event.data), given)


def started(**members: Any) -> Start:
    return Start(**({"tenant": "acme", "workflow": "w", "version": 1, "trigger": "webhook", "params": {"data": 1}} | members))


async def test_a_run_that_has_ended_says_when_it_is_forgotten_and_then_is() -> None:
    kept = State()
    await run(started(), kept, 1)
    await run(Cancel(), kept, 1)
    ended = decode(kept.kept)
    assert ended.next_due_ms == ended.ended_ms + 720 * 3_600_000
    for due_ms, left in ((ended.next_due_ms - 1, True), (ended.next_due_ms, False)):
        assert isinstance(await run(Timer(due_ms=due_ms), kept, 1), Completed)
        assert bool(kept.kept) is left


async def test_a_version_that_is_not_known_here_yet_is_waited_for() -> None:
    kept = State()
    for numbers in ((), (1, 2)):
        outcome = await run(started(version=3), kept, *numbers)
        assert isinstance(outcome, RetryLater)
        assert not kept.changed
    assert isinstance(await run(started(version=2), kept, 1, 2), Made)
    gone = State()
    await run(started(version=2), gone, 1, 3)
    assert decode(gone.kept).status == "invalid", "this one was erased"


@pytest.mark.parametrize("data", [DEEP, 2**70, {"é": [None, 1.5, "☂"]}])
async def test_whatever_a_door_takes_goes_on_to_a_process(data: Any) -> None:
    kept = State()
    outcome = await run(started(params={"data": data}), kept, 1)
    assert isinstance(outcome, Made)
    assert json.loads(outcome.outputs[0].value) == {"v": data}
    assert decode(kept.kept).task("t").status == "running"


async def test_a_task_beyond_the_last_hop_fails_and_the_parent_is_told() -> None:
    kept = State()
    outcome = await run(started(hops=MAX_HOPS, parent=Parent("r0", "child", 1)), kept, 1)
    assert isinstance(outcome, Made)
    assert decode(kept.kept).task("t").status == "invalid"
    (told,) = outcome.outputs
    signal = signal_of(told.value)
    assert isinstance(signal, TaskEnded)
    assert (signal.task, signal.status) == ("child", "failed")


async def test_what_is_no_signal_of_a_tenants_own_run_is_rejected() -> None:
    assert isinstance(await run(started(), State(), 1, tenant="globex"), Rejected)
    assert isinstance(await run(started(), State(), 1, type_="flow.task"), Rejected)
    assert await run(Cancel(), State(), 1) == Completed(), "a run that never began"
