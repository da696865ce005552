# SPDX-License-Identifier: Apache-2.0
"""
The worker's part of the live view: what became of events, written to Redis in batches.

The worker calls it on its hot path, so it never blocks and never raises there; it must not be waited for before a commit.
Facts wait in memory while Redis is away; where they become too many they are dropped and the view is rebuilt from Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Final, NamedTuple

import hiredis

from bridge.claims.rows import listed, row_of
from bridge.domain.errors import ViewUnavailable
from bridge.domain.event import Event
from bridge.domain.execution import Execution
from bridge.executions import encode
from bridge.ingress import rows
from bridge.redis import operations
from bridge.redis.epoch import ViewGuard
from bridge.redis.keys import Keys
from bridge.redis.operations import Operation
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.redis.takeover import Place, Takeover
from bridge.settings import Settings
from bridge.summaries import summarise

GATHER_S: Final = 0.015  # how long facts wait for company
RUNNING_S: Final = 0.1  # an execution that ends within this time is never shown in progress
REPEAT_S: Final = 1.0  # how often `passed` is said again: after a rebuild nothing else would say it on a quiet system
CALL_FACTS: Final = 300  # facts of one script call: about 2 ms of Redis' time
CALL_BYTES: Final = 512 * 1024
SUMMARY_BYTES: Final = 1024  # about what a fact without data weighs
RETRY_S: Final = 0.1
FAULT_PAUSE_S: Final = 5.0

Describe = Callable[[], Execution]


class Begun(NamedTuple):
    """An attempt that has no record yet: what gives its execution, and whether it began from the event's own record."""

    describe: Describe
    of_event: bool


class Projection:
    """
    One per worker process. `capacity` bounds the facts that wait, `capacity_bytes` their values.

    Order: `passed` is written after everything that was said before it.
    """

    def __init__(self, pipe: Pipe, settings: Settings, *, capacity: int = 50_000, capacity_bytes: int = 64 * 1024 * 1024) -> None:
        self._pipe, self._guard = pipe, ViewGuard(pipe, settings)
        self._keys = Keys(settings.topic_prefix)
        self._keep_s = settings.retention_hours * 3600
        self._capacity, self._capacity_bytes = capacity, capacity_bytes
        self._queue: deque[tuple[int, Operation]] = deque()
        self._bytes = 0
        self._takeover = Takeover(pipe, settings, self._guard)
        self._passed: dict[Place, int] = {}
        self._news: set[Place] = set()
        self._begun: dict[str, tuple[float, Begun]] = {}
        self._running: dict[str, Begun] = {}
        self._writing = False
        self._epoch: bytes | None = None
        self._forget_s = int(time.time()) + self._keep_s
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Count the facts that Redis does not have yet."""
        return len(self._queue)

    @property
    def holes(self) -> int:
        """Count how often facts were dropped and the view declared lost."""
        return self._guard.holes

    def started(self, execution_id: str, describe: Describe, *, of_event: bool) -> None:
        """
        Say that an attempt has begun.

        `describe` gives the execution in progress; it is called on the loop, and only if no record follows soon. `of_event`: it
        began from the event's own record; once the router has passed that, nobody goes on with it.
        """
        self._begun[execution_id] = (time.monotonic(), Begun(describe, of_event))

    def waits(self, execution: Execution) -> None:
        """Say that Kafka has an execution in its process's own lane; what that lane's worker says of it is newer."""
        self._add(operations.begun(self._keys, execution, encode(execution), self._forget_s), SUMMARY_BYTES)

    def stopped(self, execution_id: str) -> None:
        """Say that an attempt ended here without a record: another worker will begin it again."""
        if self._begun.pop(execution_id, None) is None:
            self._running.pop(execution_id, None)

    def recorded(self, tenant: str, execution_id: str, correlation_id: str, offset: int, value: bytes) -> None:
        """Say that Kafka has an execution's record; `value` is the record's value, `offset` its place in its partition."""
        self.stopped(execution_id)
        fact = operations.recorded(self._keys, tenant, execution_id, correlation_id, offset, value, self._forget_s)
        self._add(fact, len(value))

    def emitted(self, event: Event, accepted_ms: int, partition: int, offset: int) -> None:
        """Say that Kafka has an event that an execution emitted; `accepted_ms` is its record's timestamp."""
        fact = operations.stored(self._keys, summarise(event, accepted_ms), partition, offset, self._forget_s)
        self._add(fact, SUMMARY_BYTES)

    def taken(self, event: Event, accepted_ms: int) -> None:
        """Say that the router has come to an event; its dialect's list has it, whatever became of who accepted it."""
        row = row_of(event, accepted_ms)
        if row is not None:
            self._add(listed(self._keys, event, row, self._keep_s), len(event.data) + SUMMARY_BYTES)
        message = rows.listed(self._keys, event, accepted_ms, self._keep_s)
        if message is not None:
            self._add(message, len(event.data) + SUMMARY_BYTES)

    def posted(self, tenant: str, webhook: str, execution_id: str, at_ms: int) -> None:
        """Say that an attempt to post to a webhook has its record."""
        self._add(operations.posted(self._keys, tenant, webhook, execution_id, at_ms, self._forget_s), SUMMARY_BYTES)

    def kept(self, state: str, record_key: bytes, version: int, value: bytes) -> None:
        """Say that Kafka has what processes keep of a key under a state; the key is `<tenant>/<key>`."""
        tenant, _, key = record_key.decode().partition("/")
        self._add(operations.kept(self._keys, state, tenant, key, version, value), len(value))

    def begin(self, place: Place, committed: int) -> None:
        """Say that we take a partition over, of which everything before `committed` is finished."""
        self._passed.pop(place, None)
        self._takeover.begin(place, committed)

    def passed(self, place: Place, next_offset: int) -> None:
        """Say that all records before `next_offset` are finished, after `recorded` and `emitted` told what became of them."""
        self._passed[place] = next_offset
        self._news.add(place)
        self._wake.set()

    async def run(self) -> None:
        """Write what was said, in batches; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._guard.run())
            tasks.create_task(self._takeover.run())
            tasks.create_task(self._write_all())

    async def flush(self, timeout_s: float) -> bool:
        """Wait until `run` has written everything, holes included, for a worker that leaves; says whether it did so in time."""
        deadline = time.monotonic() + timeout_s
        while self._queue or self._news or self._writing or self._guard.open:
            if time.monotonic() > deadline:
                return False
            self._wake.set()
            await asyncio.sleep(0.01)
        return True

    async def _write_all(self) -> None:
        repeat = time.monotonic() + REPEAT_S
        while True:
            await self._pause()
            self._forget_s = int(time.time()) + self._keep_s
            self._show_running()
            if time.monotonic() >= repeat:
                self._news.update(self._passed)
                repeat = time.monotonic() + REPEAT_S
            self._writing = True
            await self._flush()
            self._writing = False

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RUNNING_S if self._begun else REPEAT_S):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_S)

    def _add(self, fact: Operation, weight: int) -> None:
        self._queue.append((weight, fact))
        self._bytes += weight
        self._wake.set()
        if len(self._queue) > self._capacity or self._bytes > self._capacity_bytes:
            self._guard.hole(f"{len(self._queue)} facts waited for Redis and were dropped")
            self._queue.clear()
            self._bytes = 0

    def _show_running(self) -> None:
        before = time.monotonic() - RUNNING_S
        long = []
        for execution_id, (since, begun) in self._begun.items():  # in the order of their beginning
            if since > before:
                break
            long.append((execution_id, begun))
        for execution_id, begun in long:
            del self._begun[execution_id]
            self._running[execution_id] = begun
            execution = begun.describe()
            fact = operations.begun(self._keys, execution, encode(execution), self._forget_s, of_event=begun.of_event)
            self._add(fact, SUMMARY_BYTES)

    def _say_again(self) -> None:
        """Say what no record in Kafka tells a rebuilt view."""
        self._news.update(self._passed)
        running = {execution_id: (0.0, begun) for execution_id, begun in self._running.items()}
        self._begun = running | self._begun
        self._running.clear()
        self._wake.set()

    async def _flush(self) -> None:
        self._wake.clear()
        news = {place for place in self._news if not self._takeover.open(place)}
        self._news -= news
        last = [operations.passed(place, self._passed[place]) for place in news if place in self._passed]
        left = len(self._queue)
        while left > 0 and (batch := self._take(left)):
            left -= len(batch)
            await self._write(batch)
        if last:
            await self._write(last)

    def _take(self, most: int) -> list[Operation]:
        batch: list[Operation] = []
        size, queue, most = 0, self._queue, min(most, CALL_FACTS)
        while queue and len(batch) < most and size < CALL_BYTES:
            weight, fact = queue.popleft()
            size += weight
            batch.append(fact)
        self._bytes -= size
        return batch

    async def _write(self, batch: list[Operation]) -> None:
        """Write a batch, again and again while Redis is away: every fact may be said twice."""
        fields = [*chain.from_iterable(batch)]
        keys = (self._keys.epoch, self._keys.passed)
        while True:
            await self._guard.mended()  # nothing that comes after a hole may make the view look whole
            try:
                epoch = await self._pipe.script(script("project"), keys, fields)
                break
            except ViewUnavailable:
                await self._pipe.wait_connected(REPEAT_S)
                await asyncio.sleep(RETRY_S)
            except hiredis.ReplyError as err:
                self._guard.hole(f"Redis refused {len(batch)} facts: {err}")
                await asyncio.sleep(FAULT_PAUSE_S)
                return
        if epoch is not None and epoch != self._epoch:
            self._epoch = epoch
            self._say_again()
