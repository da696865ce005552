# SPDX-License-Identifier: Apache-2.0
"""
From a batch of records to executions, and from finished executions to the offset that may be committed.

The Faust agent of `processors.worker` feeds it; it is the `Ledger` of `processors.batches`. All on the loop's thread.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any

from faust.types import TP

from bridge import logs, metrics
from bridge.cloudevents.kafka import event_of
from bridge.domain import ids
from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.event import MAX_HOPS, Event
from bridge.domain.limits import MIB
from bridge.hosting.routing import Router as Routing
from bridge.registry.objects import TENANT_NAME
from bridge.sdk.process import AnyProcess
from processors.attempt import Attempt, Surroundings
from processors.bookkeeping import Bookkeeping
from processors.ending import doubt
from processors.letters import letter
from processors.window import Gap, Window

IN_FLIGHT = 2000
"""Events that are read and not finished, over all partitions; more wait in Kafka."""

IN_FLIGHT_BYTES = 64 * MIB
BREATH = 64  # records between two turns of the loop

TENANT = re.compile(TENANT_NAME).fullmatch
"""A name is part of keys, which have to be read again."""

LOG = logs.get("processors.router")


class Router:
    """One per worker. `windows` are the partitions that are ours and have been read from."""

    def __init__(self, around: Surroundings, processes: Iterable[AnyProcess], routing: Routing, bookkeeping: Bookkeeping) -> None:
        self._around, self._routing, self._books = around, routing, bookkeeping
        self._processes = {process.name: process for process in processes}
        self._patterns = {process.name: tuple(process.events) for process in self._processes.values()}
        self._loop = asyncio.get_running_loop()
        self._room: asyncio.Future[None] | None = None
        self.running: dict[str, Attempt] = {}
        self.windows: dict[TP, Window] = {}
        self.in_flight = self.in_flight_bytes = self.done = 0

    async def take(self, consumer: Any, message: Any, records: list[Any]) -> None:
        """Accept one fetch of one partition; waits while too much is in flight. What is stale is dropped and read again."""
        if consumer.stale(message):
            return
        window = self.windows.get(message.tp)
        if window is None:
            window = await self._open(consumer, message.tp, records[0].offset)
        try:
            for number, record in enumerate(records, 1):
                if consumer.stale(message) or not window.alive:
                    return
                if not window.knows(record.offset):
                    self._accept(window, record)
                if self._full():
                    await self._wait_for_room()
                elif not number % BREATH:
                    await asyncio.sleep(0)
        except Gap as gap:
            doubt("records are missing in what was read", partition=message.tp.partition, gap=str(gap))

    async def _open(self, consumer: Any, tp: TP, first: int) -> Window:
        """Begin a partition at its committed offset; what Kafka deleted before anyone read it is said, counted and passed."""
        committed = consumer._committed_offset[tp] or 0
        if first > committed:
            earliest = (await consumer.earliest_offsets(tp))[tp]
            if (opened := self.windows.get(tp)) is not None:
                return opened
            if first > earliest:
                doubt("records are missing at the start", partition=tp.partition, committed=committed, first=first)
            metrics.EVENTS_LOST.inc(first - committed)
            LOG.error(
                "Kafka deleted events before they were read: the backlog outlived the retention",
                partition=tp.partition,
                events=first - committed,
            )
        window = self.windows[tp] = Window(tp.partition, max(first, committed))
        return window

    async def pass_expired(self, consumer: Any, tp: TP, end: int) -> None:
        """Begin a partition of which nothing is left to read: it may be long until a record comes that would begin it."""
        generation = consumer.app.consumer_generation_id
        earliest = (await consumer.earliest_offsets(tp))[tp]
        if end == earliest and tp not in self.windows and generation == consumer.app.consumer_generation_id:
            await self._open(consumer, tp, end)

    def _accept(self, window: Window, record: Any) -> None:
        now = self._loop.time()
        size = len(record.value or b"")
        self.in_flight += 1
        self.in_flight_bytes += size
        try:
            event = _event(record)
        except InvalidEvent as err:
            window.accept(record.offset, size, now, 1)
            self._set_aside(window, record, "undecodable", str(err))
            return
        self._books.count(record, event)
        if event.hops > MAX_HOPS:
            window.accept(record.offset, size, now, 1)
            self._set_aside(
                window, record, "too-many-hops", f"{event.hops} hops from its first cause; at most {MAX_HOPS} are allowed"
            )
            return
        entry = window.accept(record.offset, size, now, 0)
        for name in self._routing.processes_for(event.tenant, event.type, self._patterns):
            execution_id = ids.execution_id(event.key, name)
            if execution_id in self.running or self._around.executions.is_finished(execution_id):
                metrics.EXECUTIONS_REPEATED.inc()
                continue
            entry.open += 1
            attempt = Attempt(self._around, window, entry, record, event, self._processes[name], execution_id, self._finished)
            self.running[execution_id] = attempt
            self._around.lanes.enter(attempt.lane, attempt)
        if not entry.open:
            self._advance(window)

    def _set_aside(self, window: Window, record: Any, code: str, reason: str) -> None:
        """Write the dead letter of a record that no process gets to see."""
        entry = window.entries[-1]

        def confirmed(error: Any, _: Any) -> None:
            if error is not None:
                doubt("a dead letter could not be delivered", error=error.str(), offset=record.offset)
            metrics.DEAD_LETTERS.labels(code).inc()
            entry.open = 0
            if window.alive:
                self._advance(window)

        around = self._around
        dead = letter(record, around.topics.dead_letters, code=code, reason=reason, worker=around.worker)
        around.outbox.send(dead, confirmed)

    def _finished(self, attempt: Attempt) -> None:
        self.running.pop(attempt.execution_id, None)
        attempt.entry.open -= 1
        if not attempt.entry.open:
            self._advance(attempt.window)

    def _advance(self, window: Window) -> None:
        count, size = window.advance()
        if count:
            self.done += count
            self._release(count, size)
            self._around.projection.passed(window.partition, window.head)

    def _release(self, count: int, size: int) -> None:
        self.in_flight -= count
        self.in_flight_bytes -= size
        if self._room is not None and not self._full():
            self._make_room()

    def _full(self) -> bool:
        return self.in_flight >= IN_FLIGHT or self.in_flight_bytes >= IN_FLIGHT_BYTES or self._around.outbox.waiting > IN_FLIGHT

    async def _wait_for_room(self) -> None:
        self._room = self._loop.create_future()
        await self._room

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def idle(self) -> bool:
        """Say whether nothing is in flight."""
        return not self.in_flight

    def heads(self) -> Mapping[TP, tuple[int, str]]:
        """Give what may be committed: everything before the head that is also counted in the usage topic."""
        return self._books.heads(self.windows)

    async def before_commit(self) -> None:
        """Write the counts that a commit may only follow."""
        await self._books.write(self.windows)

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Let go of what only uncommitted records could need."""
        self._books.committed(offsets)

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Give partitions up: running attempts are cancelled, and nothing is produced for them any more."""
        dropped = [window for tp in partitions if (window := self.windows.pop(tp, None))]
        for window in dropped:
            self._release(*window.close())
        for execution_id, attempt in list(self.running.items()):
            if not attempt.window.alive:
                del self.running[execution_id]
                attempt.give_up()
        if dropped:
            self._around.lanes.purge()
            self._make_room()


def _event(record: Any) -> Event:
    event = event_of(record.headers, record.value)
    if not event.key:
        raise InvalidEvent(Fault("header:ce_eventkey", "is missing: every event of the bridge has it"))
    if not TENANT(event.tenant):
        raise InvalidEvent(Fault("header:ce_tenantid", "is not the name of a tenant"))
    return event
