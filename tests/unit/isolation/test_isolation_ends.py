# SPDX-License-Identifier: Apache-2.0
"""What a run has started ends with it, with its cancellation, and with its worker."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bridge.sdk.testing import event
from bridge.settings import Settings
from processors.calls.calling import Caller
from processors.calls.isolation import SHARE, Isolation
from tests.abusers import Abuser
from tests.unit.isolation.running import ABUSER, context, living, pids_in, ran, until


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


async def test_without_its_guard_a_worker_does_not_go_on(children: Isolation) -> None:
    await ran(children, "says")
    guard = children._pool._guard._program
    assert guard is not None
    guard.kill()
    guard.wait()
    with pytest.raises(BrokenPipeError):
        await ran(children, "exits")


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


WORKER = """
import asyncio, sys
from bridge.settings import Settings
from processors.calls.isolation import Isolation
from tests.unit.isolation import running as here
async def main():
    here.Abuser.timeout_s = 30.0
    await here.ran(Isolation(Settings()), "forks", sys.argv[1])
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
