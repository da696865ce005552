# SPDX-License-Identifier: Apache-2.0
"""
Call a process: with its deadline, isolated from the others, on the loop, in a thread or in a child process.

A thread cannot be killed and a coroutine may ignore its cancellation. Either is then left behind: its execution fails with
`timeout`, what it returns later is dropped, and where too many are left behind the worker starts afresh.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bridge import logs, metrics
from bridge.domain.event import Event
from bridge.hosting.rules import child_fault
from bridge.sdk import Context
from bridge.sdk.process import AnyProcess
from bridge.settings import Settings
from processors.calls.isolation import QUEUE_S, Isolation
from processors.calls.queueing import queued
from processors.calls.turns import Turns
from processors.ending import doubt
from processors.outcomes.verdicts import Failure, NotBegun, said

THREADS, THREADS_EACH = 20, 16
"""Threads of all tenants together, and of one."""
LEFT_BEHIND = 48
"""Runs that outlived their deadline and still hold a thread or a task; with more the worker ends."""

GRACE_S = 1.0
"""How long a cancelled coroutine may take to end."""

LOG = logs.get("processors.calling")

Ended = Callable[[object], None]
Way = Callable[[AnyProcess, Event, Context[Any], Ended], Coroutine[Any, Any, None]]


class Caller:
    """Runs processes; `ended(outcome or Failure)` is called exactly once per call, on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        self._loop = loop
        self._isolation = Isolation(settings)
        self._turns = Turns(THREADS, THREADS_EACH)
        self._pool = ThreadPoolExecutor(THREADS + LEFT_BEHIND, thread_name_prefix="process")
        self._one_suspect = asyncio.Lock()
        self._waiting: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ways: dict[AnyProcess, Way] = {}
        self.left_behind = 0

    def waits(self, task: asyncio.Task[None]) -> bool:
        """Whether a run has yet to begin: every thread or every child process is taken, or another suspect runs."""
        return task in self._waiting or task in self._isolation.waiting

    def call(self, process: AnyProcess, event: Event, context: Context[Any], ended: Ended) -> asyncio.Task[None]:
        """Begin one run in a task of its own; cancelling the task ends the run, too."""
        return self.begin(self._way(process)(process, event, context, ended))

    def call_suspect(
        self, process: AnyProcess, event: Event, context: Context[Any], ended: Ended, begun: Callable[[], None]
    ) -> asyncio.Task[None]:
        """
        Run what may have ended the worker before: one at a time, in a child process if that can be.

        `begun` is called when it really begins here, where it could end the worker again; `ended` may be given `NotBegun`.
        """
        return self.begin(self._apart(process, event, context, ended, begun))

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something run in a task of its own; the worker ends where it fails."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """End the child processes, and the runs in them without an outcome. Called when nothing is to be processed any more."""
        await self._isolation.close()

    def _way(self, process: AnyProcess) -> Way:
        way = self._ways.get(process)
        if way is None:
            on_loop = inspect.iscoroutinefunction(process.run)
            way = self._in_child if process.isolation == "process" else self._on_loop if on_loop else self._in_thread
            self._ways[process] = way
        return way

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (err := task.exception()) is not None:
            doubt("handling an outcome failed", error=said(err))

    async def _on_loop(self, process: AnyProcess, event: Event, context: Context[Any], ended: Ended) -> None:
        call = _Once(ended)
        task = asyncio.current_task(self._loop)
        assert task is not None
        call.timer = self._loop.call_later(process.timeout_s, self._expired, process, call, task)
        outcome: object
        try:
            outcome = await process.run(event, context)  # type: ignore[misc]  # a coroutine function, see call()
        except BaseException as err:  # noqa: BLE001  the edge: a process may raise anything, and cancel its own task
            outcome = _failure(err, call.expired and isinstance(err, asyncio.CancelledError), process)
        finally:
            call.timer.cancel()
            if call.late:
                self._came_back()
        call.end(outcome)

    def _expired(self, process: AnyProcess, call: _Once, task: asyncio.Task[Any]) -> None:
        """Cancel the run; `asyncio.timeout` does the same, at three times the price."""
        call.expired = True
        call.timer = self._loop.call_later(GRACE_S, self._overdue, process, call)
        task.cancel()

    def _overdue(self, process: AnyProcess, call: _Once) -> None:
        self._leave_behind(process)
        call.late = True
        call.end(Failure("timeout", f"no outcome within {process.timeout_s:g} s, and the cancellation was ignored"))

    async def _in_thread(self, process: AnyProcess, event: Event, context: Context[Any], ended: Ended) -> None:
        deadline = asyncio.timeout(process.timeout_s)
        outcome: object
        async with queued(self._waiting, self._turns.turn(event.tenant)):
            running: Future[Any] = self._pool.submit(_run, process, event, context)
            try:
                async with deadline:
                    outcome = await asyncio.wrap_future(running)
                    if inspect.isawaitable(outcome):
                        outcome = await outcome
            except BaseException as err:  # noqa: BLE001  the edge, as above
                outcome = _failure(err, isinstance(err, TimeoutError) and deadline.expired(), process)
            if not running.done():
                self._leave_behind(process)
                running.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._came_back))
        ended(outcome)

    async def _in_child(self, process: AnyProcess, event: Event, context: Context[Any], ended: Ended) -> None:
        ended(await self._isolation.run(process, event, context))

    async def _apart(
        self, process: AnyProcess, event: Event, context: Context[Any], ended: Ended, begun: Callable[[], None]
    ) -> None:
        if not await self._has_turn():
            ended(NotBegun(f"other suspects ran for {QUEUE_S:g} s"))
            return
        turn = _Turn(self._one_suspect, ended)
        try:
            if not process.state and not child_fault(process):  # a child has no state to give
                await self._in_child(process, event, context, turn.end)
            else:
                begun()
                await self._way(process)(process, event, context, turn.end)
        finally:
            turn.give_back()

    async def _has_turn(self) -> bool:
        """Wait until no other suspect runs; False where that takes too long."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._waiting.add(task)
        try:
            async with asyncio.timeout(QUEUE_S):
                return await self._one_suspect.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(task)

    def _leave_behind(self, process: AnyProcess) -> None:
        self.left_behind += 1
        metrics.LEFT_BEHIND.set(self.left_behind)
        LOG.warning("A run goes on after its deadline", process=process.name, left_behind=self.left_behind)
        if self.left_behind > LEFT_BEHIND:
            doubt(f"{self.left_behind} runs outlived their deadline and cannot be ended", process=process.name)

    def _came_back(self) -> None:
        self.left_behind -= 1
        metrics.LEFT_BEHIND.set(self.left_behind)


class _Turn:
    """A suspect's turn: given back when its run has ended, even where that goes on and ignores its cancellation."""

    def __init__(self, lock: asyncio.Lock, ended: Ended) -> None:
        self._lock: asyncio.Lock | None = lock
        self._ended = ended

    def end(self, outcome: object) -> None:
        self.give_back()
        self._ended(outcome)

    def give_back(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


class _Once:
    """One run on the loop: passes its first end on and drops the others."""

    __slots__ = ("_ended", "expired", "late", "timer")

    def __init__(self, ended: Ended) -> None:
        self._ended: Ended | None = ended
        self.timer: asyncio.TimerHandle
        self.expired = self.late = False

    def end(self, outcome: object) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(outcome)


def _run(process: AnyProcess, event: Event, context: Context[Any]) -> object:
    """Run a process in a thread; a StopIteration, which no future can hold, becomes what a coroutine makes of it."""
    try:
        return process.run(event, context)
    except StopIteration as err:
        raise RuntimeError("run() raised StopIteration") from err


def _failure(err: BaseException, expired: bool, process: AnyProcess) -> Failure:
    if expired:
        return Failure("timeout", f"no outcome within {process.timeout_s:g} s")
    return Failure("exception", said(err))
