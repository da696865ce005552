# SPDX-License-Identifier: Apache-2.0
"""
Rebuild the live view in Redis from Kafka: events, what became of them, and what the router has passed.

Called by `bridge.view.keeper` where the view is lost, and by `evb rebuild`. Intake and workers go on meanwhile; as every fact
says how new it is, it does not matter who writes it first.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from bridge.claims.restore import restore_claims
from bridge.decisions.restore import restore_decisions
from bridge.domain.errors import Unavailable, ViewUnavailable
from bridge.kafka.admin import state_topics
from bridge.kafka.epochs import begin_epoch
from bridge.kafka.groups import committed
from bridge.kafka.lanes import unfinished
from bridge.kafka.scan import Scan
from bridge.redis import operations
from bridge.redis.epoch import whole
from bridge.redis.keys import Keys
from bridge.redis.lease import Lease
from bridge.redis.operations import Operation
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.topics import EVENTS, EXECUTIONS, REGISTRY, worker_group
from bridge.view.restoring import Expect, Restoring, nothing_expected

READ: Final = 500  # records between two turns of our loop: about 10 ms of Python
WAIT_S: Final = 0.2
CALL_FACTS: Final = 250
CALL_BYTES: Final = 512 * 1024
SMALL_BYTES: Final = 500
IN_FLIGHT: Final = 4
CONNECT_S: Final = 5.0
TIMEOUT_MS: Final = 10_000

Progress = Callable[[int, int], None]
"""Called with how many records were read, and of how many."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a rebuild wrote: records by kind (an execution has one per attempt), those nobody could read, and the new epoch."""

    executions: int
    events: int
    unreadable: int
    seconds: float
    epoch: str


def rebuild(
    settings: Settings,
    expect: Expect = nothing_expected,
    *,
    only_lost: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Report | None:
    """
    Make the view whole; blocks, with a loop and a connection of its own, so call it in a thread of a process that serves.

    Shape:  `expect(tenant, event type)` names the processes that will probably want an event which the router has not reached.
    Again:  harmless; None where another process is at it, and with `only_lost` where another was done before we began: a second
            rebuild would void the decisions that are under way since.
    Raises: ViewUnavailable (Redis went away, was emptied again, a writer missed something, `stop` was set), BrokerUnavailable.
    """
    return asyncio.run(_rebuild(settings, expect, only_lost, progress or _unseen, stop or threading.Event()))


def _unseen(_done: int, _total: int) -> None:
    pass


async def _rebuild(
    settings: Settings, expect: Expect, only_lost: bool, progress: Progress, stop: threading.Event
) -> Report | None:
    pipe = Pipe(settings.redis.model_copy(update={"timeout_ms": TIMEOUT_MS}), asyncio.get_running_loop())
    try:
        if not await pipe.wait_connected(CONNECT_S):
            raise ViewUnavailable("Redis does not answer.")
        lease = Lease(pipe, Keys(settings.topic_prefix))
        if not await lease.take():
            return None
        if only_lost and whole(await pipe.call("GET", Keys(settings.topic_prefix).epoch), pipe.run_id):
            await lease.release()
            return None
        holding = asyncio.create_task(lease.hold())
        try:
            return await _work(settings, pipe, lease, expect, _Watch(holding, progress, stop))
        except Unavailable:
            if pipe.connected:
                await lease.release()
            raise
        finally:
            holding.cancel()
            await asyncio.wait([holding])
    finally:
        await pipe.close()


class _Watch:
    """Looks, between two batches, whether the rebuild may go on."""

    def __init__(self, holding: asyncio.Task[None], progress: Progress, stop: threading.Event) -> None:
        self._holding, self._progress, self._stop = holding, progress, stop

    def look(self, done: int, total: int) -> None:
        """Raises: ViewUnavailable where it may not."""
        if self._holding.done():
            self._holding.result()
        if self._stop.is_set():
            raise ViewUnavailable("The rebuild was stopped.")
        self._progress(done, total)


async def _work(settings: Settings, pipe: Pipe, lease: Lease, expect: Expect, watch: _Watch) -> Report:
    began = time.monotonic()
    await lease.clear_foreign()
    # No decision may be confirmed while the markers go out: its record could lie behind one of them, and be void.
    await pipe.call("DEL", Keys(settings.topic_prefix).epoch)
    number = await asyncio.to_thread(begin_epoch, settings)
    await restore_decisions(settings, REGISTRY, pipe, lease)
    await restore_claims(settings, pipe, lease)
    # Order matters: what was committed before the ends were fixed has its execution records before them.
    passed = await asyncio.to_thread(committed, settings, worker_group(settings), EVENTS)
    restoring = Restoring(settings, passed, expect, time.time())
    since_ms = int((time.time() - settings.retention_hours * 3600) * 1000)
    states = await asyncio.to_thread(state_topics, settings)
    lanes = await asyncio.to_thread(unfinished, settings)
    writer = _Writer(pipe, Keys(settings.topic_prefix))
    try:
        for topics, since, within in ((states, None, None), ((), None, lanes), ((EVENTS, EXECUTIONS), since_ms, None)):
            scan = await asyncio.to_thread(Scan, settings, topics, since, within=within)
            try:
                await _copy(scan, restoring, writer, watch)
            finally:
                await asyncio.to_thread(scan.close)
        await writer.write([operations.passed(partition, offset) for partition, offset in passed.items()])
        await writer.finish()
    finally:
        writer.abandon()
    epoch = await lease.open(number)
    return Report(restoring.executions, restoring.events, restoring.unreadable, time.monotonic() - began, epoch)


async def _copy(scan: Scan, restoring: Restoring, writer: _Writer, watch: _Watch) -> None:
    """Write what the scan gives; the next records are read while these are written."""
    read = 0
    ahead = asyncio.create_task(asyncio.to_thread(scan.read, READ, WAIT_S))
    try:
        while True:
            messages = await ahead
            if not (done := scan.done):
                ahead = asyncio.create_task(asyncio.to_thread(scan.read, READ, WAIT_S))
            for message in messages:
                await writer.write(restoring.operations_of(message))
            read += len(messages)
            watch.look(read, scan.total)
            if done:
                return
    finally:
        await asyncio.wait([ahead])  # its thread must have left the consumer before that is closed


class _Writer:
    """Writes operations in calls of bounded size, a few of them on their way at any time."""

    def __init__(self, pipe: Pipe, keys: Keys) -> None:
        self._pipe, self._keys = pipe, (keys.epoch, keys.passed)
        self._batch: list[Operation] = []
        self._bytes = 0
        self._calls: deque[asyncio.Task[Any]] = deque()

    async def write(self, found: list[Operation]) -> None:
        """Queue operations; waits while too many are on their way. Raises: ViewUnavailable."""
        for operation in found:
            self._batch.append(operation)
            self._bytes += SMALL_BYTES + sum(len(field) for field in operation if isinstance(field, bytes))
        if len(self._batch) >= CALL_FACTS or self._bytes >= CALL_BYTES:
            await self._send(IN_FLIGHT)

    async def finish(self) -> None:
        """Wait until everything is written. Raises: ViewUnavailable."""
        await self._send(0)

    def abandon(self) -> None:
        """Ask no more about what is still on its way."""
        for call in self._calls:
            call.cancel()

    async def _send(self, most: int) -> None:
        if self._batch:
            fields = [*chain.from_iterable(self._batch)]
            self._calls.append(asyncio.create_task(self._pipe.script(script("project"), self._keys, fields)))
            self._batch, self._bytes = [], 0
        while len(self._calls) > most:
            await self._calls.popleft()
