# SPDX-License-Identifier: Apache-2.0
"""
Timers of runs: each run says when it is due, and gets a signal then. Nothing about it lives only here.

The table of runs tells which runs have changed; after a recovery that is all of them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from itertools import islice
from typing import Any, Final, NamedTuple

from bridge import logs
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.runs.carried import signal_event
from bridge.workflows.run import next_due_ms
from bridge.workflows.signals import Timer
from processors.attempts.states import StateTable
from processors.clock import now_ms
from processors.ending import doubt
from processors.stream.outbox import Outbox, Record

LOOK_S: Final = 1.0
FAR_S: Final = 3600
"""Runs that are due later than that are not held in mind: most are those that have ended, and are to be forgotten in weeks."""
CHUNK: Final = 500  # runs between two turns of the loop: about 2 ms
AGAIN_MS: Final = 30_000
"""A run that is still due so long after its signal gets another one; it may be held, so each further one takes twice as long."""
SPARE: Final = 1000
"""Times of runs that are not due any more which may be kept in any case."""

LOG = logs.get("processors.timers")


class Due(NamedTuple):
    """When a run is looked at, and the time for which it then gets a signal, if that is still what it waits for."""

    look_ms: int
    due_ms: int
    partition: int
    key: bytes


class Timers:
    """One per worker; on the loop's thread."""

    def __init__(self, table: StateTable, outbox: Outbox, topic: str) -> None:
        self._table, self._outbox, self._topic = table, outbox, topic
        self._news = table.news = dict[tuple[int, bytes], None]()
        self._heap: list[Due] = []
        self._due_of: dict[tuple[int, bytes], int] = {}

    async def run(self) -> None:
        """Signal until cancelled."""
        look_again_s = 0.0
        while True:
            if time.monotonic() >= look_again_s:
                look_again_s = time.monotonic() + FAR_S / 2
                self._look_at_all()
            await self._learn()
            self._fire(now_ms())
            wait_s = (self._heap[0].look_ms - now_ms()) / 1000 if self._heap else LOOK_S
            try:
                async with asyncio.timeout(min(max(wait_s, 0.001), LOOK_S)):
                    await self._table.changed.wait()
            except TimeoutError:
                continue

    def _look_at_all(self) -> None:
        """Take note of every run: what was far away may be near by now."""
        for partition, of in self._table.kept.items():
            self._news.update(dict.fromkeys((partition, key) for key in of))

    async def _learn(self) -> None:
        """Take note of the runs that have changed."""
        self._table.changed.clear()
        news = self._news
        while news:
            for partition, key in [*islice(news, CHUNK)]:
                del news[partition, key]
                self._set(partition, key, self._due(partition, key))
            await asyncio.sleep(0)

    def _set(self, partition: int, key: bytes, due_ms: int) -> None:
        """Note when a run is due; 0: never, or not soon. What is not due any more is swept out when it is more than the rest."""
        if not due_ms or due_ms > now_ms() + FAR_S * 1000:
            self._due_of.pop((partition, key), None)
        elif self._due_of.get((partition, key)) != due_ms:
            self._due_of[partition, key] = due_ms
            heapq.heappush(self._heap, Due(due_ms, due_ms, partition, key))
        if len(self._heap) > 2 * len(self._due_of) + SPARE:
            self._heap = [due for due in self._heap if self._due_of.get((due.partition, due.key)) == due.due_ms]
            heapq.heapify(self._heap)

    def _due(self, partition: int, key: bytes) -> int:
        kept = self._table.kept[partition].get(key)
        if kept is None or not kept.value:
            return 0
        try:
            return next_due_ms(kept.value)
        except ValueError as err:
            LOG.error("What is kept of a run cannot be read", key=str(key), reason=str(err))
            return 0

    def _fire(self, now: int) -> None:
        while self._heap and self._heap[0].look_ms <= now:
            due = heapq.heappop(self._heap)
            if self._due_of.get((due.partition, due.key)) != due.due_ms:
                continue
            if self._due(due.partition, due.key) == due.due_ms:
                self._send(due, now)
                again_ms = min(max(AGAIN_MS, now - due.due_ms), FAR_S * 1000)
                heapq.heappush(self._heap, due._replace(look_ms=now + again_ms))
            else:
                del self._due_of[due.partition, due.key]

    def _send(self, due: Due, now: int) -> None:
        tenant, _, run_id = due.key.decode().partition("/")
        event = signal_event(tenant, run_id, ids.timer_key(run_id, due.due_ms), Timer(due_ms=due.due_ms), max(now, due.due_ms))
        self._outbox.send(Record(self._topic, record_key(event), event.data, headers_of(event), due.partition), _report)


def _report(error: Any, _: Any) -> None:
    if error is not None:
        doubt("a timer's signal could not be delivered", error=error.str())
