# SPDX-License-Identifier: Apache-2.0
"""A paused process, and one that fails everything, rest without losing anything and without holding anyone up."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.registry.changes import Changes
from bridge.registry.pausing import pause, resume
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.test_retries import final, histories
from tests.integration.workers import Sender, event, site, until, working

HELD_S = 2.0
"""Within this time a pause and its end hold in every worker."""


def decide(settings: Settings, *changes_: Callable[[Changes], Awaitable[object]]) -> None:
    async def run() -> None:
        async with changing(settings) as changes:
            for change in changes_:
                await change(changes)

    asyncio.run(run())


def newest(settings: Settings, events: list[Event], process: str) -> list[Execution]:
    """The last record of each event's execution; those without one are left out."""
    found = histories(settings)
    return [of[-1] for one in events if (of := found[ids.execution_id(one.key, process)])]


def test_what_is_paused_waits_and_the_rest_goes_on(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    decide(settings, *(lambda c, t=t: create_tenant(c, t) for t in ("acme", "other")))
    with working(stack, settings, tmp_path) as worker:
        sender = Sender(settings)
        decide(settings, lambda c: pause(c, "quick", None, "maintenance"), lambda c: pause(c, None, "other"))
        time.sleep(HELD_S)
        paused = [event("t.now") for _ in range(30)]
        others = [event("emit.now", tenant="other") for _ in range(30)]
        going = [event("emit.now") for _ in range(30)]
        for three in zip(paused, others, going, strict=True):
            sender.send(*three)
        sender.flush()
        until(lambda: final(settings, going, "emitter"), "what is not paused has ended")
        worker.settle(settings)
        for events, process, reason in ((paused, "quick", "paused: maintenance"), (others, "emitter", "paused")):
            states = {(state.status, state.attempt, state.reason, state.due_ms) for state in newest(settings, events, process)}
            assert states == {(Status.PENDING, 0, reason, None)}
        worker.kill()
        worker.start()
        decide(settings, lambda c: resume(c, "quick", None))
        began = time.monotonic()
        until(lambda: any(state.status.final for state in newest(settings, paused, "quick")), "the first have ended")
        assert time.monotonic() - began < 3 * HELD_S, "busy machine included"
        until(lambda: final(settings, paused, "quick"), "every resumed execution has ended")
        assert {state.status for state in newest(settings, others, "emitter")} == {Status.PENDING}
        decide(settings, lambda c: resume(c, None, "other"))
        until(lambda: final(settings, others, "emitter"), "every execution has ended")
    told = histories(settings)
    for one, process in (*((p, "quick") for p in paused), *((o, "emitter") for o in others)):
        ends = [e for e in told[ids.execution_id(one.key, process)] if e.status.final]
        assert [(e.status, e.attempt) for e in ends] == [(Status.COMPLETED, 1)], "once, and without having spent an attempt"


def test_a_process_that_fails_everything_rests_and_is_tried(
    stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts would be spent within two seconds; the breaker keeps them until the shop is back."""
    switch = tmp_path / "shop-is-back"
    monkeypatch.setenv("TEST_SWITCH", str(switch))
    settings = site(stack, breaker_failures=10)
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        events = [event("broken.now") for _ in range(20)]
        sender.send(*events)
        sender.flush()
        until(lambda: _all_rest(newest(settings, events, "broken")), "the breaker says why")
        began = time.monotonic()
        until(lambda: _listed(stack, settings, "broken").startswith("in slot 0 for acme: "), "a heartbeat says so")
        time.sleep(max(0.0, began + 5 - time.monotonic()))
        assert not any(state.status.final for state in newest(settings, events, "broken"))
        switch.touch()
        until(lambda: final(settings, events, "broken"), "every execution has ended", 40)
    states = newest(settings, events, "broken")
    assert {state.status for state in states} == {Status.COMPLETED}
    assert max(state.attempt for state in states) <= 3


def _all_rest(states: list[Execution]) -> bool:
    return len(states) == 20 and all(state.reason.startswith("circuit breaker: ") for state in states)


def _listed(stack: StackOfTests, settings: Settings, process: str) -> str:
    """Say what `evb processes list` says of a process that may rest."""
    command = [sys.executable, "-m", "bridge.cli", "processes", "list", "--json"]
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ | stack.environ(settings), timeout=60)
    (found,) = [row["resting"] for row in json.loads(done.stdout) if row["process"] == process]
    return str(found)
