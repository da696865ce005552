# SPDX-License-Identifier: Apache-2.0
"""Whether a partition's oldest event stands still, or has yet to begin: asked of its own executions, not of the whole worker."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from bridge.sdk import Completed, Context, Event, NoConfig, Process
from bridge.sdk.testing import event
from bridge.settings import Settings
from processors.attempts.attempt import Attempt
from processors.attempts.router import Router
from processors.calls import calling
from processors.calls.calling import Caller
from processors.stream.window import Entry, Window

NOTHING: Any = None


class Blocking(Process[NoConfig]):
    """A plain function that goes on when it is told to."""

    name, version, events = "blocking", "1.0.0", ("*",)

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def run(self, event: Event, context: Context[NoConfig]) -> Completed:
        assert self.go_on.wait(10)
        return Completed()


def attempt(window: Window, entry: Entry, around: Any, execution_id: str) -> Attempt:
    given: Any = SimpleNamespace(event=event("t"), record=SimpleNamespace(topic="t", partition=0, key=b"k"), redelivery=None)
    process: Any = SimpleNamespace(name="p", state="")
    return Attempt(around, window, entry, given, process, execution_id, NOTHING)


async def test_only_executions_of_the_oldest_event_excuse_it() -> None:
    around: Any = SimpleNamespace(caller=SimpleNamespace(waits=lambda task: task == "waits"))
    window = Window("t", 0, 5)
    head, next_ = window.accept(5, 1, 0.0), window.accept(6, 1, 0.0)
    first, second, other = (attempt(window, entry, around, name) for entry, name in ((head, "a"), (head, "b"), (next_, "c")))
    router: Any = SimpleNamespace(running={"a": first, "b": second, "c": other})

    def waits() -> bool:
        return Router.waits_for_others(router, window)

    assert waits(), "nothing of it has begun: others of its key go first"
    first.begun, first.task = True, NOTHING
    assert not waits(), "it may be this one that stands still"
    first.task = "waits"  # type: ignore[assignment]
    assert waits(), "for a place to run in"
    second.begun = True
    assert not waits()
    del router.running["a"], router.running["b"]
    assert not waits(), "what has no execution any more waits for nobody"
    other.follow(follower := attempt(window, head, around, "c"))
    assert waits(), "it comes after an attempt of another event"
    follower.begun = True
    assert not waits()


async def test_a_run_waits_until_it_has_a_thread(monkeypatch: Any) -> None:
    monkeypatch.setattr(calling, "THREADS", 1)
    caller, process = Caller(asyncio.get_running_loop(), Settings()), Blocking()
    runs = [caller.call(process, event("t"), NOTHING, lambda _: None) for _ in range(2)]
    await asyncio.sleep(0)
    assert [caller.waits(run) for run in runs] == [False, True]
    process.go_on.set()
    await asyncio.wait(runs)
    assert not any(map(caller.waits, runs))
