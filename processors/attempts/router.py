# SPDX-License-Identifier: Apache-2.0
"""
From a batch of records to executions, and from finished executions to the offset that may be committed.

The Faust agent of `processors.worker` feeds it; it is the `Ledger` of `processors.stream.batches`. All on the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from faust.types import TP

from bridge import logs, metrics
from bridge.domain.errors import InvalidEvent
from bridge.domain.event import MAX_HOPS
from bridge.hosting.routing import Router as Routing
from bridge.sdk.process import AnyProcess
from processors.attempts.attempt import Attempt
from processors.attempts.breakers import Breakers
from processors.attempts.letters import letter
from processors.attempts.recipients import Recipients
from processors.attempts.surroundings import Surroundings
from processors.ending import doubt
from processors.stream.bookkeeping import Bookkeeping
from processors.stream.given import of_events, of_redeliveries, of_signals
from processors.stream.window import Entry, Gap, Window

BREATH = 64  # records between two turns of the loop

LOG = logs.get("processors.router")


class Router:
    """One per worker. `windows` are the partitions that are ours and have been read from."""

    def __init__(self, around: Surroundings, processes: Iterable[AnyProcess], routing: Routing, bookkeeping: Bookkeeping) -> None:
        self._around, self._books = around, bookkeeping
        self._recipients = Recipients(around, processes, routing)
        self._loop = asyncio.get_running_loop()
        self._room = around.room
        self.running: dict[str, Attempt] = {}
        self.windows: dict[TP, Window] = {}
        self.done = 0

    @property
    def in_flight(self) -> int:
        """Count the events that are read and not finished."""
        return self._room.held

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
                if not number % BREATH:
                    await asyncio.sleep(0)
                while self._room.full(window.topic) and window.alive:
                    await self._room.wait()
        except Gap as gap:
            doubt("records are missing in what was read", topic=message.tp.topic, partition=message.tp.partition, gap=str(gap))

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
        window = self.windows[tp] = Window(tp.topic, tp.partition, max(first, committed))
        self._around.projection.begin(self._place(window), committed)
        return window

    async def pass_expired(self, consumer: Any, tp: TP, end: int) -> None:
        """Begin a partition of which nothing is left to read: it may be long until a record comes that would begin it."""
        generation = consumer.app.consumer_generation_id
        earliest = (await consumer.earliest_offsets(tp))[tp]
        if end == earliest and tp not in self.windows and generation == consumer.app.consumer_generation_id:
            await self._open(consumer, tp, end)

    def _accept(self, window: Window, record: Any) -> None:
        size = len(record.value or b"")
        self._room.take(window.topic, size)
        entry = window.accept(record.offset, size, self._loop.time())
        topics = self._around.topics
        first, signal = window.topic == topics.events, window.topic == topics.signals
        try:
            given = of_events(record) if first else of_signals(record) if signal else of_redeliveries(record)
        except InvalidEvent as err:
            self._set_aside(window, entry, record, "undecodable", str(err))
            return
        if first:
            self._books.count(record, given.event)
            self._around.projection.taken(given.event, record.timestamp)
        if (hops := given.event.hops) > MAX_HOPS:
            why = f"{hops} hops from its first cause; at most {MAX_HOPS} are allowed"
            self._set_aside(window, entry, record, "too-many-hops", why)
            return
        for process, execution_id in self._recipients.of(given, signal=signal):
            self._attempt(Attempt(self._around, window, entry, given, process, execution_id, self._finished))
        self._less(window, entry)  # what was open while we looked

    def _attempt(self, attempt: Attempt) -> None:
        """Begin an attempt, unless it was made before; one that comes while the last one is being recorded follows that."""
        running = self.running.get(attempt.execution_id)
        if self._around.executions.is_past(attempt.execution_id, attempt.number) or (
            running is not None and running.covers(attempt.number)
        ):
            metrics.EXECUTIONS_REPEATED.inc()
            self._tell_again(attempt)
            return
        attempt.entry.open += 1
        attempt.enter_share()
        if running is not None:
            running.follow(attempt)
        else:
            self._begin(attempt)

    def _tell_again(self, attempt: Attempt) -> None:
        """Tell the view what recovery has read of an execution: who recorded it may have died before that."""
        if attempt.process.state:
            self._around.states.tell(attempt)
        if (found := self._around.executions.recovered.take(attempt.execution_id)) is not None:
            offset, value = found
            event = attempt.given.event
            correlation = event.correlation_id or event.key
            self._around.projection.recorded(event.tenant, attempt.execution_id, correlation, offset, value)

    def _begin(self, attempt: Attempt) -> None:
        self.running[attempt.execution_id] = attempt
        self._around.lanes.enter(attempt.lane, attempt)

    def _set_aside(self, window: Window, entry: Entry, record: Any, code: str, reason: str) -> None:
        """Write the dead letter of a record that no process gets to see."""

        def confirmed(error: Any, _: Any) -> None:
            if error is not None:
                doubt("a dead letter could not be delivered", error=error.str(), offset=record.offset)
            metrics.DEAD_LETTERS.labels(code).inc()
            if window.alive:
                self._less(window, entry)

        around = self._around
        dead = letter(record, around.topics.dead_letters, code=code, reason=reason, worker=around.worker)
        around.outbox.send(dead, confirmed)

    def _finished(self, attempt: Attempt) -> None:
        del self.running[attempt.execution_id]
        attempt.leave_share()
        self._less(attempt.window, attempt.entry)
        following = attempt.following
        if not attempt.process.state:
            self._begin_next(attempt)
        elif following is not None and following.lane == attempt.lane:
            self.running[following.execution_id] = following
            self._around.lanes.leave(attempt.lane, following)  # what waits behind the execution would be held again
        else:
            self._around.lanes.leave(attempt.lane)
            self._begin_next(attempt)

    def _begin_next(self, attempt: Attempt) -> None:
        """Begin what follows an attempt, unless its partition was taken away."""
        if (following := attempt.following) is not None:
            self._begin(following)

    def _less(self, window: Window, entry: Entry) -> None:
        """Say that one thing less is open of an event; where that was the last, let go of it, and of the line up to it."""
        entry.open -= 1
        if entry.open:
            return
        self.done += 1
        self._room.finish(window.topic, entry.size)
        if count := window.advance():
            self._room.leave(count)
            self._around.projection.passed(self._place(window), window.head)

    def _place(self, window: Window) -> int | str:
        """Give the name under which the live view keeps how far a partition is."""
        return window.partition if window.topic == self._around.topics.events else f"{window.topic}/{window.partition}"

    def waits_for_room(self, topic: str) -> bool:
        """Say whether a topic's partitions are not read because others' records fill the room."""
        return self._room.full(topic)

    @property
    def breakers(self) -> Breakers:
        """What rests because it fails everything."""
        return self._around.breakers

    def waits_for_others(self, window: Window) -> bool:
        """Say whether nothing of a partition's oldest event has begun, because others are before it or hold every place."""
        head = window.entries[0]
        of_it = [one for first in self.running.values() for one in first.chain if one.entry is head]
        return bool(of_it) and all(one.waits for one in of_it)

    def idle(self) -> bool:
        """Say whether nothing is in flight."""
        return not self._room.held

    def heads(self, committed: Mapping[TP, int]) -> Mapping[TP, tuple[int, str]]:
        """Give what may be committed: everything before the head that is also counted in the usage topic."""
        return self._books.heads(self.windows, committed)

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
            for size in window.unfinished():
                self._room.finish(window.topic, size)
            self._room.leave(len(window.entries))
            window.close()
        self._around.lanes.purge()
        for execution_id, attempt in list(self.running.items()):
            if not attempt.window.alive:
                del self.running[execution_id]
                attempt.give_up()
                self._begin_next(attempt)
        self._room.look_again()
