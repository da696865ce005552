# SPDX-License-Identifier: Apache-2.0
"""What is dumped where a worker stands still: the thread's stack says that its loop waits, the task's says for what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from processors import stacks


async def test_a_task_is_shown_with_the_innermost_call_that_it_waits_in(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "_LOOPS", [])
    stacks.show_tasks_of(asyncio.get_running_loop())
    never = asyncio.create_task(_outer(), name="never-ends")
    await asyncio.sleep(0)
    await asyncio.to_thread(stacks.dump_stacks)
    never.cancel()
    dumped = capfd.readouterr().err
    assert "most recent call first" in dumped
    (task,) = [block for block in dumped.split("\n\n") if block.startswith("Task never-ends")]
    assert task.index("in _outer") < task.index("in _inner") < task.index("Future")


async def test_many_tasks_are_cut_off_and_counted(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_LOOPS", [asyncio.get_running_loop()])
    waiting = [asyncio.create_task(_outer()) for _ in range(stacks.MOST_TASKS + 10)]
    await asyncio.sleep(0)
    stacks.dump_stacks()
    for one in waiting:
        one.cancel()
    dumped = capfd.readouterr().err
    assert dumped.count("\nTask ") == stacks.MOST_TASKS
    assert "Loop 0 has 11 more tasks." in dumped, "and the test's own"


def test_a_loop_whose_tasks_cannot_be_shown_keeps_nobody_from_leaving(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(_: object) -> None:
        raise RuntimeError("Set changed size during iteration")

    monkeypatch.setattr(stacks, "_LOOPS", [asyncio.new_event_loop()])
    monkeypatch.setattr(asyncio, "all_tasks", changing)
    stacks.dump_stacks()
    stacks._LOOPS[0].close()
    assert "The tasks of loop 0 cannot be shown: RuntimeError" in capfd.readouterr().err


async def _outer() -> None:
    async for _ in _inner():
        pass


async def _inner() -> AsyncIterator[object]:
    yield await asyncio.get_running_loop().create_future()
