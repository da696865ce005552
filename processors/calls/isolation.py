# SPDX-License-Identifier: Apache-2.0
"""
Run processes with isolation "process": at most so many child processes at once, each made when it is first needed.

A child serves one process and is used again until it gives a reason not to: a deadline, a crash, too much memory, something left
behind. `processors.calls.calling` asks on the loop; a thread per child waits for it.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import defaultdict
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.domain.event import Event
from bridge.sdk import Context
from bridge.sdk.process import AnyProcess
from bridge.settings import Settings
from processors.calls.children import Child, Died
from processors.calls.isolated import Request, Wanted
from processors.calls.pool import Pool
from processors.calls.queueing import queued
from processors.calls.turns import Turns
from processors.outcomes.verdicts import Failure, NotBegun, said

CHILDREN = 4
"""Child processes of one worker."""

SHARE = 2
"""Child processes that one process may keep busy: one that hangs does not take them all."""

QUEUE_S = 60.0
"""How long a run may wait for a child in memory; then it waits in Kafka, so that its partition's offset does not stand still."""


@dataclass(slots=True, eq=False)
class _Run:
    """One run, as the loop and the thread that waits for the child both know it."""

    process: AnyProcess
    request: Request
    child: Child | None = None
    stopped: bool = False

    def stop(self) -> None:
        """Kill the child, at once or as soon as it exists."""
        self.stopped = True
        if self.child is not None:  # else the thread has not come to it yet, and will look at `stopped`
            self.child.kill()


class Isolation:
    """One per worker, used on its loop."""

    def __init__(self, settings: Settings) -> None:
        self._pool = Pool(CHILDREN, Wanted(settings.log_format, settings.log_level, settings.egress_allowed_networks))
        self._threads = ThreadPoolExecutor(CHILDREN, thread_name_prefix="child")
        self._room = Turns(CHILDREN, CHILDREN)
        self._shares: defaultdict[AnyProcess, Turns] = defaultdict(lambda: Turns(SHARE, SHARE))
        self._runs: set[_Run] = set()
        self.waiting: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, process: AnyProcess, event: Event, context: Context[Any]) -> object:
        """
        Give the outcome of one run, its failure, or `NotBegun`; the deadline counts from its beginning in the child.

        Order:  one process has a share of the children only, and tenants take turns; else in the order of the calls.
        Raises: asyncio.CancelledError; the run is then killed.
        """
        given = context.tenant, context.correlation_id, context.execution_id, context.attempt, context.config, context.journeys
        async with queued(self.waiting, self._place(process, context.tenant)) as there_is_one:
            if not there_is_one:
                return NotBegun(f"no child process was free within {QUEUE_S:g} s")
            if self._closed:
                raise asyncio.CancelledError
            run = _Run(process, Request(dict(event.attributes), event.data, *given))
            self._runs.add(run)
            try:
                return await asyncio.wrap_future(self._threads.submit(self._run, run))
            except asyncio.CancelledError:
                run.stop()
                raise
            finally:
                self._runs.discard(run)

    async def close(self) -> None:
        """Kill every child and what it started. Runs that were asked for are cancelled: their outcome is not known."""
        self._closed = True
        for run in self._runs:
            run.stop()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._pool.close)

    @asynccontextmanager
    async def _place(self, process: AnyProcess, tenant: str) -> AsyncIterator[bool]:
        """Hold a place among the process's, and among all; False where none was free in time."""
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(QUEUE_S):
                    for turns in (self._shares[process], self._room):
                        await places.enter_async_context(turns.turn(tenant))
            except TimeoutError:
                yield False
            else:
                yield True

    def _run(self, run: _Run) -> object:
        """Let a child run it; in a thread of its own."""
        outcome: object
        try:
            request = pickle.dumps(tuple(run.request))
        except Exception as err:  # noqa: BLE001  the edge: a configuration holds what the plugin's own validators made
            return Failure("not-serialisable", f"the configuration cannot be handed to a child process: {said(err)}")
        child, fit = self._pool.take(run.process), False
        try:
            run.child = child
            if run.stopped:
                raise CancelledError
            outcome, fit = child.run(request)
        except TimeoutError:
            outcome = Failure("timeout", f"no outcome within {run.process.timeout_s:g} s; its child process was killed")
        except Died as died:
            outcome = died.failure
        finally:
            self._pool.give_back(child, fit=fit and not run.stopped)
        if run.stopped:
            raise CancelledError
        return outcome
