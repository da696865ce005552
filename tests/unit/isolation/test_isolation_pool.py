# SPDX-License-Identifier: Apache-2.0
"""The children of a worker: how many, whose, and what their start and a queue do not cost."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.sdk import Completed, Result, Skipped
from bridge.sdk.process import AnyProcess
from bridge.sdk.testing import event
from processors.calls import isolation, pool
from processors.calls.isolated import Wanted
from processors.calls.isolation import CHILDREN, SHARE, Isolation
from processors.outcomes.verdicts import NotBegun
from tests.abusers import Abuser, Reliable, abuser_that_starts_slowly
from tests.unit.isolation.running import ABUSER, RELIABLE, context, ran, until


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
async def test_a_run_that_finds_no_child_in_time_has_not_begun(
    children: Isolation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(isolation, "QUEUE_S", 0.1)
    busy = [asyncio.create_task(ran(children, "sleeps", str(tmp_path / str(n)))) for n in range(SHARE)]
    await asyncio.sleep(0)
    assert await ran(children, "says") == NotBegun("no child process was free within 0.1 s")
    assert {one.code for one in await asyncio.gather(*busy)} == {"timeout"}


async def test_the_deadline_does_not_count_the_start(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Abuser, "timeout_s", 0.25)
    monkeypatch.setattr(Abuser, "__reduce__", lambda _: (abuser_that_starts_slowly, ()))
    began = time.monotonic()
    assert await ran(children, "skips") == Skipped("not mine")
    assert time.monotonic() - began > ABUSER.timeout_s, "or this says nothing"


async def test_tenants_take_turns(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    ran_for: list[str] = []
    monkeypatch.setattr(isolation, "SHARE", 1)
    monkeypatch.setattr(Isolation, "_run", lambda _, run: ran_for.append(run.request.tenant))
    given = [replace(context(), tenant=tenant) for tenant in ("acme", "acme", "acme", "acme", "other")]
    await asyncio.gather(*(children.run(ABUSER, event("abuser.says"), one) for one in given))
    assert ran_for == ["acme", "acme", "other", "acme", "acme"]


@pytest.mark.usefixtures("impatient")
async def test_the_deadline_does_not_count_the_queue(children: Isolation) -> None:
    outcomes = await asyncio.gather(*(ran(children, "spins") for _ in range(SHARE)), ran(children, "says"))
    assert isinstance(outcomes[-1], Completed)


async def test_a_run_waits_until_it_has_a_child(children: Isolation, tmp_path: Path) -> None:
    busy = [asyncio.create_task(ran(children, "sleeps", str(tmp_path / str(n)))) for n in range(SHARE + 1)]
    await until(lambda: len(list(tmp_path.iterdir())) == SHARE)
    assert children.waiting == {busy[-1]}
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)
    assert not children.waiting
