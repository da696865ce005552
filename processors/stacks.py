# SPDX-License-Identifier: Apache-2.0
"""
Where everything in this process is: the stacks of its threads, and of the tasks that wait in its event loops.

A loop that waits for ever looks idle in its thread's stack; what it waits for is in its tasks.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import sys
from types import AsyncGeneratorType, FrameType

_LOOPS: list[asyncio.AbstractEventLoop] = []


def show_tasks_of(loop: asyncio.AbstractEventLoop) -> None:
    """Have the tasks of `loop` dumped too; called once for each loop."""
    _LOOPS.append(loop)


def dump_stacks() -> None:
    """Write all stacks to stderr, from whichever thread; a task's innermost frame comes last."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    for number, loop in enumerate(_LOOPS):
        for task in _tasks(loop):
            sys.stderr.write(f"\nTask {task.get_name()} of loop {number}: {_waiting(task)}\n")
    sys.stderr.flush()


def _tasks(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[object]]:
    try:
        return asyncio.all_tasks(loop)
    except RuntimeError:  # its set kept changing while it was read: a loop that busy does not wait
        return set()


def _waiting(task: asyncio.Task[object]) -> str:
    """Follow the coroutine to what it awaits: `Task.print_stack` shows its outermost frame only."""
    found: list[str] = []
    inner: object | None = task.get_coro()
    while inner is not None:
        frame, following = _inside(inner)
        found.append(
            f'\n  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
            if frame
            else f"\n  {inner!r}"
        )
        inner = following
    return "".join(found)


def _inside(awaited: object) -> tuple[FrameType | None, object | None]:
    """Give the frame of a coroutine or generator, and what that awaits in turn."""
    for frame, following in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
        if hasattr(awaited, frame):
            return getattr(awaited, frame), getattr(awaited, following)
    # a step of an asynchronous generator: only the garbage collector knows of which one
    return None, next((one for one in gc.get_referents(awaited) if isinstance(one, AsyncGeneratorType)), None)
