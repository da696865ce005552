# SPDX-License-Identifier: Apache-2.0
"""A process with isolation "process" can do what it likes: its child is killed in time, its failure says why, others go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bridge import logs
from bridge.domain.limits import REASON_BYTES
from bridge.egress.addresses import LOOPBACK
from bridge.sdk import Completed, Context, NoConfig, Rejected, Result, RetryLater, Skipped
from bridge.sdk.process import AnyProcess
from bridge.sdk.testing import event
from bridge.settings import Settings
from processors.calls import isolation, pool
from processors.calls.calling import Caller
from processors.calls.isolated import Wanted
from processors.calls.isolation import CHILDREN, SHARE, Isolation
from processors.outcomes.verdicts import Failure
from tests.abusers import Abuser, AsyncAbuser, Options, Reliable, Unimportable, abuser_that_starts_slowly
from tests.canaries import listening

ABUSER, ASYNC, RELIABLE = Abuser(), AsyncAbuser(), Reliable()


@pytest.fixture
async def children() -> AsyncIterator[Isolation]:
    """Child processes; none is left afterwards."""
    before = {one.pid for one in psutil.Process().children()}
    made = Isolation(Settings(log_format="json"))
    yield made
    await made.close()
    left = [one for one in psutil.Process().children() if one.pid not in before]
    assert [one for one in left if "resource_tracker" not in " ".join(one.cmdline())] == []


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not need the deadline shall not meet it on a busy machine."""
    monkeypatch.setattr(Abuser, "timeout_s", 20.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker wait for half a second only."""
    monkeypatch.setattr(Abuser, "timeout_s", 0.5)


def context(process: AnyProcess = ABUSER) -> Context[Any]:
    config = Options(greeting="moin") if process is ABUSER else NoConfig()
    return Context("acme", "corr", "exec", 2, config, logs.get("test"), None)  # type: ignore[arg-type]  # a child has its own


async def ran(children: Isolation, what: str, data: Any = None, process: AnyProcess = ABUSER) -> Any:
    return await children.run(process, event(f"{process.name}.{what}", data), context(process))


def living(pids: Iterable[int]) -> list[int]:
    """Say which of these run; one that is dead and that nobody has waited for does not."""
    return [pid for pid in pids if runs(pid)]


def runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def pids_in(file: Path) -> list[int]:
    """Read what a child wrote of those that it started. Killed ones may live a few ms on: each has to run once more, to end."""
    return [int(pid) for pid in file.read_text().split()]


async def until(condition: Any, timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_process_gets_what_it_needs_and_one_child_serves_it_again(
    children: Isolation, capfd: pytest.CaptureFixture[str]
) -> None:
    first = await ran(children, "says", {"a": 1})
    second = await ran(children, "says", [2])
    assert isinstance(first, Completed)
    assert first.data == {
        "pid": second.data["pid"],
        "data": {"a": 1},
        "type": "abuser.says",
        "greeting": "moin",
        "ids": ["acme", "corr", "exec", 2],
        "loaded": [],
        "http": True,
    }
    assert first.data["pid"] != os.getpid()
    assert first.results == [Result("said", b'{"n":1}', "s")]
    line = next(line for line in capfd.readouterr().out.splitlines() if "Saying" in line)
    assert '"logger":"process.abuser"' in line
    assert '"execution_id":"exec"' in line


async def test_a_coroutine_has_a_session_of_its_own(children: Isolation) -> None:
    assert await ran(children, "says", process=ASYNC) == Completed("ClientSession")


async def test_the_session_of_a_child_reaches_what_the_installation_allows(children: Isolation) -> None:
    allowing = Isolation(Settings(log_format="json", egress_allowed_networks=LOOPBACK))
    async with listening() as canary:
        url = f"http://127.0.0.1:{canary.port}/"
        assert await ran(allowing, "calls", url, ASYNC) == Completed(200)
        refused = await ran(children, "calls", url, ASYNC)
        assert isinstance(refused, Failure)
        assert "address-not-allowed: 127.0.0.1 is not a public address" in refused.reason
        assert canary.visits == 1
    await allowing.close()


@pytest.mark.parametrize(
    ("what", "outcome"),
    [("skips", Skipped("not mine")), ("waits", RetryLater("closed", 7.0)), ("rejects", Rejected("bad-order", "no such order"))],
)
async def test_every_outcome_crosses(children: Isolation, what: str, outcome: object) -> None:
    assert await ran(children, what) == outcome


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


async def test_threads_leave_the_memory_to_the_process(children: Isolation) -> None:
    process = Abuser()
    process.memory_mb = 250
    assert await ran(children, "has-threads", process=process) == Completed(100 << 20)


async def test_a_coroutine_that_ignores_its_cancellation_is_killed(children: Isolation) -> None:
    assert (await ran(children, "hangs", process=ASYNC)).code == "timeout"
    assert (await ran(children, "cancels", process=ASYNC)).reason.startswith("CancelledError")


async def test_an_exceptions_text_is_bounded(children: Isolation) -> None:
    failure = await ran(children, "raises")
    assert failure.code == "exception"
    assert failure.reason.startswith("ValueError: it is broken")
    assert len(failure.reason.encode()) <= REASON_BYTES


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


@pytest.mark.parametrize("what", ["forks", "forks-and-returns", "forks-and-exits"])
async def test_what_a_run_started_dies_with_it(
    children: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(Abuser, "timeout_s", 2.0)
    file = tmp_path / "pids"
    outcome = await ran(children, what, str(file))
    pids = pids_in(file)
    assert len(pids) == 21
    assert {"forks": "timeout", "forks-and-exits": "crashed"}.get(what) == getattr(outcome, "code", None)
    await until(lambda: not living(pids))


async def test_a_child_cannot_run_code_in_the_worker(children: Isolation, tmp_path: Path) -> None:
    failure = await ran(children, "pickles", str(tmp_path / "touched"))
    assert (failure.code, failure.reason) == ("crashed", "its child process broke the pipe to the worker")
    assert not (tmp_path / "touched").exists()


async def test_a_child_that_died_between_two_runs_is_noticed(children: Isolation, tmp_path: Path) -> None:
    first = await ran(children, "dies-later", str(tmp_path / "now"))
    (tmp_path / "now").touch()
    await until(lambda: has_ended(first.data))
    assert isinstance(await ran(children, "says"), Completed)


def has_ended(child: int) -> bool:
    """Say whether a child of ours has ended with all of its threads; it is left to be waited for."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


async def test_a_plugin_that_a_child_cannot_import_says_so(children: Isolation) -> None:
    failure = await ran(children, "any", process=Unimportable())
    assert failure.code == "crashed"
    assert "cannot load it: ModuleNotFoundError: No module named 'nothing_of_this_name'" in failure.reason


async def test_a_process_that_cannot_be_pickled_says_so(children: Isolation) -> None:
    process = Abuser()
    process.lock = threading.Lock()
    failure = await ran(children, "says", process=process)
    assert failure == Failure("crashed", "it cannot be handed to a child process: TypeError: cannot pickle '_thread.lock' object")


async def test_without_its_guard_a_worker_does_not_go_on(children: Isolation) -> None:
    await ran(children, "says")
    guard = children._pool._guard._program
    assert guard is not None
    guard.kill()
    guard.wait()
    with pytest.raises(BrokenPipeError):
        await ran(children, "exits")


async def test_where_no_process_can_start_the_run_fails(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refused)
    assert await ran(children, "says") == Failure("crashed", "no child process can be started for it")


async def test_others_go_on_beside_abuse(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Abuser, "timeout_s", 3.0)
    abuses = [asyncio.create_task(ran(children, what)) for what in ("exits", "faults", "allocates", "spins", "floods")]
    good = [await ran(children, "any", n, RELIABLE) for n in range(50)]
    assert good == [Completed(n, [Result("reliable.done", str(n).encode())]) for n in range(50)]
    assert {one.code for one in await asyncio.gather(*abuses)} == {"crashed", "out-of-memory", "timeout"}


async def test_one_process_has_a_share_of_them(children: Isolation, tmp_path: Path) -> None:
    busy = [asyncio.create_task(ran(children, "sleeps", str(tmp_path / str(n)))) for n in range(CHILDREN)]
    await until(lambda: len(list(tmp_path.iterdir())) == SHARE)
    async with asyncio.timeout(10):
        assert await ran(children, "any", 1, RELIABLE) == Completed(1, [Result("reliable.done", b"1")])
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)


async def test_no_more_children_than_there_may_be(children: Isolation) -> None:
    several = [type(f"Reliable{n}", (Reliable,), {})() for n in range(CHILDREN + 2)]
    for one in several:
        one.__class__ = Reliable  # distinct objects of a class that a child can import
    outcomes = await asyncio.gather(*(ran(children, "any", 1, one) for one in several))
    assert all(isinstance(one, Completed) for one in outcomes)
    assert len(children._pool.children) == CHILDREN


def test_a_child_that_is_being_ended_is_not_in_the_way_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ends, go_on = threading.Event(), threading.Event()

    class Slow:
        def __init__(self, process: AnyProcess, *_: object) -> None:
            self.process, self.alive = process, True

        def end(self) -> None:
            ends.set()
            assert go_on.wait(10)

    monkeypatch.setattr(pool, "Child", Slow)
    children = pool.Pool(2, Wanted("json", "info", ""))
    first, second = children.take(Abuser()), children.take(Abuser())
    children.give_back(first, fit=True)
    other = threading.Thread(target=children.take, args=(RELIABLE,))  # has to end the first
    other.start()
    assert ends.wait(10)
    children.give_back(second, fit=True)
    assert children.take(second.process) is second
    assert len(children.children) == 2
    go_on.set()
    other.join()


@pytest.mark.usefixtures("impatient")
async def test_a_run_that_finds_no_child_in_time_fails(
    children: Isolation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(isolation, "QUEUE_S", 0.1)
    busy = [asyncio.create_task(ran(children, "sleeps", str(tmp_path / str(n)))) for n in range(SHARE)]
    await asyncio.sleep(0)
    assert await ran(children, "says") == Failure("timeout", "no child process was free within 0.1 s")
    assert {one.code for one in await asyncio.gather(*busy)} == {"timeout"}


async def test_the_deadline_does_not_count_the_start(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Abuser, "timeout_s", 0.25)
    monkeypatch.setattr(Abuser, "__reduce__", lambda _: (abuser_that_starts_slowly, ()))
    began = time.monotonic()
    assert await ran(children, "skips") == Skipped("not mine")
    assert time.monotonic() - began > ABUSER.timeout_s, "or this says nothing"


@pytest.mark.usefixtures("impatient")
async def test_the_deadline_does_not_count_the_queue(children: Isolation) -> None:
    outcomes = await asyncio.gather(*(ran(children, "spins") for _ in range(SHARE)), ran(children, "says"))
    assert isinstance(outcomes[-1], Completed)


@pytest.mark.parametrize("while_it", ["starts", "runs"])
async def test_a_cancelled_run_is_killed_and_never_ends(tmp_path: Path, while_it: str) -> None:
    ends: list[object] = []
    caller = Caller(asyncio.get_running_loop(), Settings())
    file = tmp_path / "pids"
    task = caller.call(ABUSER, event("abuser.forks", str(file)), context(), ends.append)
    if while_it == "runs":
        await until(file.exists)
    else:
        await until(lambda: caller._isolation._pool.children and next(iter(caller._isolation._pool.children))._context.made)
    task.cancel()
    await until(lambda: not caller._isolation._pool.children)
    assert task.cancelled()
    if while_it == "runs":
        await until(lambda: not living(pids_in(file)))
    else:
        assert not file.exists()
    await caller.close()
    assert not ends


async def test_close_kills_runs_without_an_outcome(tmp_path: Path) -> None:
    ends: list[object] = []
    caller = Caller(asyncio.get_running_loop(), Settings())
    file = tmp_path / "pids"
    tasks = [caller.call(ABUSER, event("abuser.forks", str(file)), context(), ends.append) for _ in range(SHARE + 2)]
    await until(file.exists)
    await caller.close()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks), "those that waited for a child, too"
    assert not ends
    await until(lambda: not living(pids_in(file)))


async def test_the_caller_hands_on_what_a_child_answers() -> None:
    caller = Caller(asyncio.get_running_loop(), Settings())
    ends: list[object] = []
    await caller.call(RELIABLE, event("reliable.any", 5), context(RELIABLE), ends.append)
    assert ends == [Completed(5, [Result("reliable.done", b"5")])]
    await caller.close()


WORKER = """
import asyncio, sys
from bridge.sdk.testing import event
from tests.unit import test_isolation as here
async def main():
    here.Abuser.timeout_s = 30.0
    await here.ran(here.Isolation(here.Settings()), "forks", sys.argv[1])
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_child_outlives_a_worker_that_is_killed(tmp_path: Path, number: int) -> None:
    file = tmp_path / "pids"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(file)])
    try:
        await until(file.exists, 30)
        family = [one.pid for one in psutil.Process(worker.pid).children(recursive=True)]
        assert len(family) >= 21
    finally:
        worker.send_signal(number)
        worker.wait()
    await until(lambda: not living(family))
