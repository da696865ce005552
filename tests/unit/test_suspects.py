# SPDX-License-Identifier: Apache-2.0
"""Suspects of having ended a worker: which run in a child, who waits for whom, and that none speaks after its window."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.domain.retry import tier
from bridge.sdk import Completed, Context, Event, NoConfig, Process
from bridge.sdk.testing import event
from bridge.settings import Settings
from processors.attempts import suspects
from processors.attempts.attempt import Attempt
from processors.attempts.breakers import Breakers
from processors.attempts.retrying import Retries
from processors.calls.calling import Caller
from processors.calls.journal import NoJournal
from processors.outcomes.verdicts import Failure, NotBegun, Verdict
from tests.abusers import Napper

NOTHING: Any = None


class Keeping(Process[NoConfig]):
    """A process that a child could import, with state."""

    name, version, events, state = "keeping", "1.0.0", ("*",), "things"

    async def run(self, event: Event, context: Context[NoConfig]) -> Completed:
        return Completed("here")


class Deaf(Keeping):
    """One that ignores its cancellation, and goes on when it is told to."""

    timeout_s = 0.01

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def run(self, event: Event, context: Context[NoConfig]) -> Completed:
        while not self.go_on.is_set():
            with suppress(asyncio.CancelledError):
                await self.go_on.wait()
        return Completed()


class Waiting(Keeping):
    """One that goes on when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def run(self, event: Event, context: Context[NoConfig]) -> Completed:
        await self.go_on.wait()
        return Completed()


async def test_a_process_with_state_is_not_run_in_a_child_where_it_has_none() -> None:
    caller, ends, begun = Caller(asyncio.get_running_loop(), Settings()), list[object](), list[bool]()
    await caller.call_suspect(Keeping(), event("t"), NOTHING, ends.append, lambda: begun.append(True))
    assert (ends, begun) == ([Completed("here")], [True])


@pytest.mark.parametrize(("isolation", "noted"), [("loop", ["e1"]), ("process", [])])
async def test_only_what_runs_in_the_worker_itself_is_noted(isolation: str, noted: list[str]) -> None:
    begun = list[str]()
    journal = SimpleNamespace(begin=begun.append, suspects={})
    caller = SimpleNamespace(call=lambda *_: None)
    around: Any = SimpleNamespace(journal=journal, caller=caller, topics=SimpleNamespace(signals="x.signals"))
    given: Any = SimpleNamespace(event=event("t"), record=SimpleNamespace(topic="t", partition=0, key=b"k"), redelivery=None)
    process: Any = SimpleNamespace(name="p", state="", isolation=isolation)
    suspects.call(Attempt(around, NOTHING, NOTHING, given, process, "e1", NOTHING), NOTHING)
    assert begun == noted


@pytest.mark.parametrize("code", ["crashed", "out-of-memory"])
def test_a_suspect_that_ends_its_child_as_well_is_convicted(code: str) -> None:
    assert suspects.convicted(Failure(code, "it was killed"), "2 lives ended") == Failure(
        "crashed-worker", "2 lives ended, and then it ended a child process: it was killed"
    )


@pytest.mark.parametrize("outcome", [Completed(), Failure("exception", "ValueError")], ids=["completed", "exception"])
def test_no_other_end_convicts(outcome: object) -> None:
    assert suspects.convicted(outcome, "2 lives ended") is outcome


@pytest.mark.parametrize("code", ["timeout", "not-started"])
def test_what_says_nothing_for_a_suspect_keeps_its_code_and_tells_its_story(code: str) -> None:
    assert suspects.convicted(Failure(code, "late"), "2 lives ended") == Failure(code, "late; 2 lives ended")


async def test_suspects_in_children_run_one_at_a_time() -> None:
    caller, ends = Caller(asyncio.get_running_loop(), Settings()), list[object]()
    napper, context = Napper(), Context("acme", "c", "e", 1, NoConfig(), NOTHING, NOTHING)
    try:
        runs = [caller.call_suspect(napper, event("napper.naps"), context, ends.append, lambda: None) for _ in range(2)]
        await asyncio.wait(runs)
    finally:
        await caller.close()
    first, second = sorted(end.data for end in ends if isinstance(end, Completed))
    assert first[1] <= second[0]


async def test_a_suspect_that_outlives_its_deadline_gives_its_turn_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.calls.calling.GRACE_S", 0.01)
    monkeypatch.setattr("processors.calls.calling.QUEUE_S", 5.0)
    caller, ends, waiting = Caller(asyncio.get_running_loop(), Settings()), list[object](), Waiting()
    monkeypatch.setattr(Waiting, "timeout_s", 0.01)
    deaf = Deaf()
    first = caller.call_suspect(deaf, event("t"), NOTHING, ends.append, lambda: None)
    waiting.go_on.set()
    await caller.call_suspect(waiting, event("t"), NOTHING, ends.append, lambda: None)
    assert isinstance(ends[0], Failure)
    assert (ends[0].code, ends[1:]) == ("timeout", [Completed()])
    assert not first.done()
    deaf.go_on.set()
    await first


async def test_a_suspect_that_finds_no_turn_in_time_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.calls.calling.QUEUE_S", 0.01)
    caller, ends, begun, waiting = Caller(asyncio.get_running_loop(), Settings()), list[object](), list[int](), Waiting()
    runs = [caller.call_suspect(waiting, event("t"), NOTHING, ends.append, lambda n=n: begun.append(n)) for n in range(2)]
    await runs[1]
    assert (ends, begun) == ([NotBegun("other suspects ran for 0.01 s")], [0])
    waiting.go_on.set()
    await runs[0]


async def test_suspects_that_wait_for_one_another_are_told_so() -> None:
    caller, process = Caller(asyncio.get_running_loop(), Settings()), Waiting()
    runs = [caller.call_suspect(process, event("t"), NOTHING, lambda _: None, lambda: None) for _ in range(2)]
    await asyncio.sleep(0)
    assert [caller.waits(run) for run in runs] == [False, True]
    runs[1].cancel()
    await asyncio.wait([runs[1]])
    assert not caller.waits(runs[1])
    process.go_on.set()
    await runs[0]


@pytest.mark.parametrize(
    ("outcome", "tiers", "where", "closed"),
    [
        (Failure("timeout", "late"), 1, "in a child", "keep"),
        (Failure("timeout", "late"), 1, "here", "end"),
        (Failure("not-started", "no room"), 1, "in a child", "keep"),
        (Failure("invalid-config", "it has none"), 1, "nowhere", "keep"),
        (Failure("timeout", "late"), 0, "in a child", "end"),
        (Failure("exception", "it ran to its end"), 1, "in a child", "end"),
        (Completed(), 1, "in a child", "end"),
    ],
    ids=["stopped", "stopped here", "did not begin", "was not called", "has no attempt left", "raised", "completed"],
)
async def test_a_suspect_stays_one_until_something_clears_it(
    monkeypatch: pytest.MonkeyPatch, outcome: object, tiers: int, where: str, closed: str
) -> None:
    notes = list[str]()
    journal = SimpleNamespace(
        end=lambda _: notes.append("end"),
        keep=lambda _: notes.append("keep"),
        runs=lambda _: where == "here",
        story=lambda _: "2 lives of the worker ended",
        suspects={"e1": 2},
    )
    breakers, retries = Breakers(5), Retries(tuple(tier(label) for label in ("5s",) * tiers))
    around: Any = SimpleNamespace(
        journal=journal, breakers=breakers, retries=retries, topics=SimpleNamespace(signals="x.signals")
    )
    given: Any = SimpleNamespace(event=event("t"), record=SimpleNamespace(topic="t", partition=0, key=b"k"), redelivery=None)
    window: Any = SimpleNamespace(alive=True)
    attempt = Attempt(around, window, NOTHING, given, Keeping(), "e1", NOTHING)
    attempt.suspect, said = where != "nowhere", list[Verdict]()
    attempt.task = None if where == "nowhere" else asyncio.get_running_loop().create_task(asyncio.sleep(0))
    monkeypatch.setattr(Attempt, "_end", lambda _, verdict: said.append(verdict))
    attempt.ended(outcome)
    assert notes == [closed]


async def test_a_suspect_whose_partition_is_taken_away_stays_one() -> None:
    notes = list[tuple[str, str]]()
    journal = SimpleNamespace(
        end=lambda one: notes.append(("end", one)), keep=lambda one: notes.append(("keep", one)), suspects={"e1": 2}
    )
    silent = SimpleNamespace(lost=lambda *_: None, stopped=lambda *_: None)
    topics = SimpleNamespace(signals="x.signals")
    around: Any = SimpleNamespace(journal=journal, breakers=silent, projection=silent, topics=topics, shares={})
    given: Any = SimpleNamespace(event=event("t"), record=SimpleNamespace(topic="t", partition=0, key=b"k"), redelivery=None)
    for execution_id in ("e1", "e2"):
        window: Any = SimpleNamespace(alive=False, topic="t")
        attempt = Attempt(around, window, NOTHING, given, Keeping(), execution_id, NOTHING)
        attempt.task = asyncio.get_running_loop().create_task(asyncio.sleep(30))
        attempt.give_up()
    assert notes == [("keep", "e1"), ("end", "e2")]


async def test_the_end_of_a_run_whose_partition_was_taken_away_says_nothing() -> None:
    around: Any = SimpleNamespace(journal=NoJournal(), topics=SimpleNamespace(signals="x.signals"))
    given: Any = SimpleNamespace(event=event("t"), record=SimpleNamespace(topic="t", partition=0, key=b"k"), redelivery=None)
    process: Any = SimpleNamespace(name="p", state="")
    attempt = Attempt(around, SimpleNamespace(alive=False), NOTHING, given, process, "e1", NOTHING)  # type: ignore[arg-type]
    attempt.suspect = True
    attempt.ended(Completed())
