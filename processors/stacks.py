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

MOST_TASKS = 200
"""Of one loop: events in flight have a task each, and one of them tells what thousands would."""

_LOOPS: list[asyncio.AbstractEventLoop] = []


def show_tasks_of(loop: asyncio.AbstractEventLoop) -> None:
    """Have the tasks of `loop` dumped too; called once for each loop."""
    _LOOPS.append(loop)


def dump_stacks() -> None:
    """
    Write all stacks to stderr, from whichever thread; a task's innermost frame comes last.

    Raises: nothing, because whoever calls it is about to leave.
    """
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    for number, loop in enumerate(_LOOPS):
        try:
            _dump_tasks(number, loop)
        except Exception as err:  # noqa: BLE001  its tasks change while they are looked at
            sys.stderr.write(f"\nThe tasks of loop {number} cannot be shown: {err!r}\n")
    sys.stderr.flush()


def _dump_tasks(number: int, loop: asyncio.AbstractEventLoop) -> None:
    tasks = list(asyncio.all_tasks(loop))
    for task in tasks[:MOST_TASKS]:
        sys.stderr.write(f"\nTask {task.get_name()} of loop {number}: {_waiting(task)}\n")
    if len(tasks) > MOST_TASKS:
        sys.stderr.write(f"\nLoop {number} has {len(tasks) - MOST_TASKS} more tasks.\n")


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
