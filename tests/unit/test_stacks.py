# SPDX-License-Identifier: Apache-2.0
"""What is dumped where a worker stands still: the thread's stack says that its loop waits, the task's says for what."""

from __future__ import annotations

import asyncio

import pytest

from processors import stacks


async def test_a_task_is_shown_with_the_innermost_call_that_it_waits_in(capfd: pytest.CaptureFixture[str]) -> None:
    stacks.show_tasks_of(asyncio.get_running_loop())
    try:
        never = asyncio.create_task(_outer(), name="never-ends")
        await asyncio.sleep(0)
        await asyncio.to_thread(stacks.dump_stacks)
        never.cancel()
    finally:
        stacks._LOOPS.clear()
    dumped = capfd.readouterr().err
    assert "most recent call first" in dumped
    (task,) = [block for block in dumped.split("\n\n") if block.startswith("Task never-ends")]
    assert task.index("in _outer") < task.index("in _inner") < task.index("Future")


async def _outer() -> None:
    async for _ in _inner():
        pass


async def _inner() -> object:  # type: ignore[misc]
    yield await asyncio.get_running_loop().create_future()
