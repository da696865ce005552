# SPDX-License-Identifier: Apache-2.0
"""A process in a child can do what it likes: it is killed in time, its failure says why, others go on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bridge.sdk import Completed, Result
from processors.calls.isolation import Isolation
from processors.outcomes.verdicts import Failure
from tests.abusers import Abuser
from tests.unit.isolation.running import ABUSER, ASYNC, RELIABLE, ran

FAILURES = {
    "spins": ("timeout", "no outcome within 0.5 s; its child process was killed"),
    "holds-the-interpreter": ("timeout", "no outcome within 0.5 s; its child process was killed"),
    "holds-the-pipe": ("timeout", "no outcome within 0.5 s; its child process was killed"),
    "exits": ("crashed", "its child process ended with exit code 1"),
    "exits-well": ("crashed", "its child process ended with exit code 0"),
    "leaves": ("exception", "SystemExit: 3"),
    "faults": ("crashed", "its child process was killed by SIGSEGV"),
    "is-killed": ("crashed", "its child process was killed by SIGKILL"),
    "allocates": ("out-of-memory", "it needed more than its 64 MB"),
    "hoards": ("out-of-memory", "it needed more than its 64 MB"),
    "bloats-in-all": ("result-too-large", "the outcome has 10000"),
    "unserialisable": ("not-serialisable", "results[0] cannot be written as JSON"),
    "unreadable": ("invalid-outcome", "Expected `str`, got `int`"),
    "nonsense": ("invalid-outcome", "run() returned 'done'; return Completed"),
    "floods": ("crashed", "broke the pipe"),
    "stutters": ("timeout", "no outcome within 0.5 s; its child process was killed"),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_each_abuse_has_its_reason_in_time(children: Isolation, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    assert (await ran(children, "says")).data["loaded"] == []  # the child is there
    code, reason = FAILURES[what]
    if code == "timeout":
        monkeypatch.setattr(Abuser, "timeout_s", 0.5)
    began = time.monotonic()
    failure = await ran(children, what)
    took = time.monotonic() - began
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert reason in failure.reason
    assert took < ABUSER.timeout_s + 1


@pytest.mark.parametrize("what", ["exits", "hoards", "floods"])
async def test_what_comes_next_gets_a_sound_child(children: Isolation, what: str) -> None:
    assert isinstance(await ran(children, what), Failure)
    assert isinstance(await ran(children, "says"), Completed)


async def test_a_run_that_leaves_no_memory_can_still_answer_and_the_next_one_too(children: Isolation) -> None:
    assert await ran(children, "fills") == Completed()
    assert (await ran(children, "hoards")).code == "out-of-memory"  # in the same child
    assert isinstance(await ran(children, "says"), Completed)


async def test_threads_leave_the_memory_to_the_process(children: Isolation) -> None:
    process = Abuser()
    process.memory_mb = 250
    assert await ran(children, "has-threads", process=process) == Completed(100 << 20)


async def test_a_coroutine_that_ignores_its_cancellation_is_killed(children: Isolation) -> None:
    assert (await ran(children, "hangs", process=ASYNC)).code == "timeout"
    assert (await ran(children, "cancels", process=ASYNC)).reason.startswith("CancelledError")


async def test_what_is_printed_goes_nowhere(children: Isolation, capfd: pytest.CaptureFixture[str]) -> None:
    failure_or = await ran(children, "prints")
    assert failure_or == Completed("printed")
    out, err = capfd.readouterr()
    assert "xxxx" not in out + err


async def test_processor_time_is_limited(children: Isolation) -> None:
    for _ in range(2):  # of a run, not of the child's life
        limits = (await ran(children, "limits")).data
        assert 2 < limits["seconds"] < 4
        assert limits["core"] == [0, 0]
    failure = await ran(children, "burns")
    assert (failure.code, failure.reason) == ("timeout", "it used more than its 20 s of processor time")


async def test_a_child_cannot_run_code_in_the_worker(children: Isolation, tmp_path: Path) -> None:
    failure = await ran(children, "pickles", str(tmp_path / "touched"))
    assert (failure.code, failure.reason) == ("crashed", "its child process broke the pipe to the worker")
    assert not (tmp_path / "touched").exists()


async def test_others_go_on_beside_abuse(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Abuser, "timeout_s", 3.0)
    abuses = [asyncio.create_task(ran(children, what)) for what in ("exits", "faults", "allocates", "spins", "floods")]
    good = [await ran(children, "any", n, RELIABLE) for n in range(50)]
    assert good == [Completed(n, [Result("reliable.done", str(n).encode())]) for n in range(50)]
    assert {one.code for one in await asyncio.gather(*abuses)} == {"crashed", "out-of-memory", "timeout"}
