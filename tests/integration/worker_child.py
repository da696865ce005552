# SPDX-License-Identifier: Apache-2.0
"""A worker process with the processes of the tests: `python -m tests.integration.worker_child`, settings from EVB_*."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from bridge.hosting.find import Installed, Origin, Plugins
from bridge.sdk import Completed, Context, Emit, Event, NoConfig, Outcome, Process, Rejected, Result, RetryLater, Skipped
from bridge.settings import load
from plugins.entity.processes import CreateEntity, UpdateEntity
from plugins.forward import Forward
from tests.abusers import Abuser, AsyncAbuser, Forker, Holder, Killer, Napper, Reliable


class Quick(Process[NoConfig]):
    """Publishes every `t.*` event as it is."""

    name, version, events = "quick", "1.2.3", ("t.*",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Completed(data={"n": len(event.data)}, results=[Result("quick.done", event.data, content_type=event.content_type)])


class Slow(Process[NoConfig]):
    """Sleeps as long as the data says, and says when it began and ended."""

    name, version, events = "slow", "1.0.0", ("slow.*",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        began = time.time()
        await asyncio.sleep(event.json()["seconds"])
        return Completed(results=[Result("slow.done", {"n": event.json()["n"], "began": began, "ended": time.time()})])


class Thread(Process[NoConfig]):
    """A plain function that ends as the event's type says."""

    name, version, events, timeout_s, retry = "thread", "1.0.0", ("thread.*",), 0.5, ()

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        match event.type.removeprefix("thread."):
            case "sleeps":
                time.sleep(4)
            case "exits":
                raise SystemExit(3)
            case "runs-out":
                raise StopIteration
            case "cancels":
                raise asyncio.CancelledError
        return Completed(results=[Result("thread.done", threading.current_thread() is threading.main_thread())])


class Unsayable(Exception):
    """Cannot say what it is: its text and its representation raise."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Faulty(Process[NoConfig]):
    """Ends in every way there is, as the event's type says."""

    name, version, events, timeout_s, retry = "faulty", "1.0.0", ("faulty.*",), 0.3, ()

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        nonsense: Any
        match event.type.removeprefix("faulty."):
            case "raises":
                raise ValueError("it is broken")
            case "exits":
                raise SystemExit(3)
            case "hangs":
                await asyncio.sleep(60)
            case "stubborn":
                return await self._stubborn()
            case "skips":
                return Skipped("not mine")
            case "rejects":
                return Rejected("bad-order", "no such order")
            case "retries":
                return RetryLater("the shop is closed")
            case "bloats":
                return Completed(results=[Result("big", b"x" * 6_000_000)])
            case "unserialisable":
                return Completed(data={"f": object()})
            case "nonsense":
                nonsense = "done"
                return nonsense
            case "cancels":
                raise asyncio.CancelledError
            case "cancels-itself":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            case "raises-unsayable":
                raise Unsayable
            case "returns-unsayable":
                nonsense = Unsayable()
                return nonsense
            case "rejects-unsayable":
                nonsense = Unsayable()
                return Rejected("odd", nonsense)
            case "lists-unsayable":
                nonsense = Unsayable()
                return Completed(results=[nonsense])
        return Completed()

    async def _stubborn(self) -> Outcome:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                await asyncio.sleep(3)
            except asyncio.CancelledError:
                continue
        return Completed(data="late")


class PickyConfig(BaseModel):
    """Breaks while it is validated, in a way that pydantic does not expect."""

    @model_validator(mode="before")
    @classmethod
    def _broken(cls, given: dict[str, Any]) -> Any:
        return given["missing"]


class Picky(Process[PickyConfig]):
    """Never runs."""

    name, version, events, retry, Config = "picky", "1.0.0", ("picky.*",), (), PickyConfig

    async def run(self, event: Event, context: Context[PickyConfig]) -> Outcome:
        return Completed()


class Emitter(Process[NoConfig]):
    """Emits one event, which it handles itself if it is `hop.again`."""

    name, version, events = "emitter", "1.0.0", ("emit.*", "hop.*")

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        if event.type == "emit.add":
            return Completed(emits=[Emit("add.one", {"n": 1}, partition_key="a")])
        return Completed(emits=[Emit("hop.again" if event.type.startswith("hop") else "t.emitted", {"from": event.id})])


class Again(Process[NoConfig]):
    """Fails until the attempt that the data names, then completes; says later how long to wait if the data says so."""

    name, version, events = "again", "1.0.0", ("again.*",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        wanted = event.json()
        if context.attempt < wanted["succeeds_at"]:
            if "after_s" in wanted:
                return RetryLater("not yet", wanted["after_s"])
            raise ValueError(f"attempt {context.attempt} fails")
        return Completed(data={"attempt": context.attempt}, results=[Result("again.done", {"n": wanted.get("n")})])


class InOrder(Process[NoConfig]):
    """Fails as often as the data says; later events of its key wait meanwhile."""

    name, version, events, ordered = "in-order", "1.0.0", ("order.*",), True

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        wanted = event.json()
        if context.attempt <= wanted.get("fails", 0):
            raise ValueError("not yet")
        return Completed(results=[Result("order.done", {"n": wanted["n"], "at": time.time()})])


class Patient(InOrder):
    """The same in a lane of its own."""

    name, events, lane = "patient", ("patient.*",), "own"


class Broken(Process[NoConfig]):
    """Fails everything until the file of TEST_SWITCH is there."""

    name, version, events = "broken", "1.0.0", ("broken.*",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        if not Path(os.environ["TEST_SWITCH"]).exists():
            raise ConnectionError("the shop is away")
        return Completed()


class Lazy(Process[NoConfig]):
    """Takes as long as the data says, in a lane of its own."""

    name, version, events, lane, timeout_s = "lazy", "1.0.0", ("lazy.*",), "own", 20

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        await asyncio.sleep(event.json()["seconds"])
        if context.attempt <= event.json().get("fails", 0):
            raise ValueError("not yet")
        return Completed(results=[Result("lazy.done")])


class Local(Process[NoConfig]):
    """Ends the worker, and cannot be handed to a child process, which does not know what this module defines."""

    name, version, events, retry = "local", "1.0.0", ("local.*",), ()

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        if event.type == "local.exits":
            os._exit(1)
        return Completed()


class Second(Process[NoConfig]):
    """Handles an event only where it is given again by a replay."""

    name, version, events = "second", "2.0.0", ("second.*",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        if "replayedfrom" not in event.attributes:
            return Rejected("too-early", "the first time is too early")
        return Completed(results=[Result("second.done", event.data)])


class Adder(Process[NoConfig]):
    """Keeps the sum of a key, and everything that it has added; ends the worker or fails as the data says."""

    name, version, events, ordered, state = "adder", "1.0.0", ("add.*",), True, "sums"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        given = event.json()
        if context.attempt <= given.get("fails", 0) and "replayedfrom" not in event.attributes:
            raise ValueError("not yet")
        kept = context.state.get() or {"sum": 0, "added": []}
        after = {**kept, "sum": kept["sum"] + given["n"], "added": [*kept["added"], given["n"]]}
        context.state.put(after)
        if given.get("rejects"):
            return Rejected("unwanted", "it may not be added")
        return Completed(data=after["sum"], results=[Result("sum.changed", after)])


class Doubler(Process[NoConfig]):
    """Shares the adder's state, and is slow; fails as the data says."""

    name, version, events, ordered, state = "doubler", "1.0.0", ("double.*",), True, "sums"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        kept = context.state.get()
        await asyncio.sleep(0.05)
        if context.attempt <= event.json().get("fails", 0):
            raise ValueError("not yet")
        context.state.put({**kept, "sum": 2 * kept["sum"]} if kept else None)
        return Completed(data=2 * kept["sum"] if kept else None)


class Auditor(Process[NoConfig]):
    """Keeps in the same state, of the same events as the adder, how many it has seen."""

    name, version, events, ordered, state = "auditor", "1.0.0", ("add.*",), True, "sums"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        kept = context.state.get() or {"sum": 0, "added": []}
        context.state.put({**kept, "seen": kept.get("seen", 0) + 1})
        return Completed(data="seen")


class OpenAccount(Process[NoConfig]):
    """A business process that ends as its payload says, and names the entities that the payload names."""

    name, version, retry = "open-account", "1.0.0", ("300ms",)
    events, business_process, title = ("eventingress.*.*.open-account",), True, "Open an Account"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        wanted = event.json() or {}
        if "rejects" in wanted:
            return Rejected("unknown-entity", "there is no such entity")
        if "skips" in wanted:
            return Skipped("nothing to do")
        if context.attempt <= wanted.get("fails", 0):
            return RetryLater("the bank is closed")
        return Completed(data={"entities": wanted.get("entities"), "attributes": dict(event.attributes)})


PROCESSES: list[Process[Any]] = [
    Quick(),
    Slow(),
    Thread(),
    Faulty(),
    Picky(),
    Emitter(),
    Again(),
    InOrder(),
    Broken(),
    Lazy(),
    Local(),
]
PROCESSES += [Abuser(), AsyncAbuser(), Forker(), Reliable(), Killer(), Holder(), Second()]
"""Those of a worker that is not told which."""
MORE: list[Process[Any]] = [
    Patient(),
    Adder(),
    Doubler(),
    Auditor(),
    CreateEntity(),
    UpdateEntity(),
    Forward(),
    OpenAccount(),
    Napper(),
]


def plugins() -> Plugins:
    """Give the tests' processes as if they were installed."""
    wanted = os.environ.get("TEST_PROCESSES", "").split(",")
    origin = Origin("tests", "0", "tests")
    chosen = PROCESSES if wanted == [""] else [one for one in (*PROCESSES, *MORE) if one.name in wanted]
    return Plugins(tuple(Installed(process, origin) for process in chosen))


if __name__ == "__main__":
    from processors import clock

    if "TEST_CLOCK" in os.environ:
        moved, now_ms = Path(os.environ["TEST_CLOCK"]), clock.now_ms
        clock.now_ms = lambda: now_ms() + int(moved.read_text() or 0)

    from processors.calls import isolation
    from processors.tables import record_tables as tables
    from processors.worker import serve

    tables.REMEMBER_MS = int(os.environ.get("TEST_REMEMBER_MS", tables.REMEMBER_MS))
    isolation.QUEUE_S = float(os.environ.get("TEST_QUEUE_S", isolation.QUEUE_S))
    serve(load(), plugins())
