# SPDX-License-Identifier: Apache-2.0
"""A process's deadline holds, whatever the process does with it, and nothing that it returns later is believed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from bridge import metrics
from bridge.domain.event import Event
from bridge.sdk import Completed, NoConfig, Process, Skipped
from bridge.settings import Settings
from processors.calls import calling
from processors.calls.calling import Caller
from processors.outcomes.verdicts import Failure

EVENT = Event({"specversion": "1.0", "id": "1", "source": "/t", "type": "t"})


class Base(Process[NoConfig]):
    name, version, events, timeout_s = "t", "1", ("t",), 0.05


async def _called(caller: Caller, process: Base) -> tuple[list[object], asyncio.Task[None]]:
    """Call a process and wait for its first end; further ends would be added to the list."""
    ends: list[object] = []
    first = asyncio.Event()

    def ended(outcome: object) -> None:
        ends.append(outcome)
        first.set()

    task = caller.call(process, EVENT, None, ended)  # type: ignore[arg-type]  # these processes look at no context
    async with asyncio.timeout(5):
        await first.wait()
    return ends, task


async def test_a_coroutine_that_ignores_its_cancellation_is_left_behind_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "GRACE_S", 0.05)
    let_go = asyncio.Event()

    class Stubborn(Base):
        async def run(self, event: Event, context: Any) -> Completed:
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue
            return Completed()

    caller = Caller(asyncio.get_running_loop(), Settings())
    ends, task = await _called(caller, Stubborn())
    assert isinstance(ends[0], Failure)
    assert ends[0].code == "timeout"
    assert caller.left_behind == metrics.LEFT_BEHIND._value.get() == 1
    let_go.set()
    await task
    assert caller.left_behind == metrics.LEFT_BEHIND._value.get() == 0
    assert len(ends) == 1, "what it returned after its deadline is dropped"


async def test_a_thread_that_outlives_its_deadline_is_left_behind_and_taken_back() -> None:
    let_go = threading.Event()

    class Slow(Base):
        def run(self, event: Event, context: Any) -> Completed:
            let_go.wait(5)
            return Completed()

    caller = Caller(asyncio.get_running_loop(), Settings())
    ends, task = await _called(caller, Slow())
    assert isinstance(ends[0], Failure)
    assert ends[0].code == "timeout"
    assert caller.left_behind == 1
    let_go.set()
    await task
    async with asyncio.timeout(5):
        while caller.left_behind:
            await asyncio.sleep(0.01)
    assert len(ends) == 1


async def test_an_outcome_is_handed_on_and_an_exception_is_a_failure() -> None:
    class Good(Base):
        async def run(self, event: Event, context: Any) -> Skipped:
            return Skipped("not today")

    class Bad(Base):
        def run(self, event: Event, context: Any) -> Completed:
            raise ValueError("it is broken")

    caller = Caller(asyncio.get_running_loop(), Settings())
    assert (await _called(caller, Good()))[0] == [Skipped("not today")]
    failure = (await _called(caller, Bad()))[0][0]
    assert isinstance(failure, Failure)
    assert (failure.code, failure.reason) == ("exception", "ValueError: it is broken")
