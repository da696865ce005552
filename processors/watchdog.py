# SPDX-License-Identifier: Apache-2.0
"""
Liveness is progress: end the process when a window's head, the reading or the event loop stands still, and measure on the way.

Started by `processors.worker`. A supervisor starts the worker again; what was not committed is read again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Hashable
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from bridge import metrics
from processors.batches import Leaving
from processors.ending import stalled
from processors.router import Router
from processors.tables import ExecutionsTable

LOOK_S = 1.0
HEAD_S = 90.0
READING_S = 30.0
LOOP_S = 30
ASK_S = 5.0


class Watchdog:
    """Looks once a second, from the loop at the partitions and from a thread at the loop."""

    def __init__(self, app: Any, router: Router, executions: ExecutionsTable, events_topic: str) -> None:
        self._app, self._router, self._executions, self._topic = app, router, executions, events_topic
        self._since: dict[tuple[str, TP], tuple[Hashable, float]] = {}
        self._ticks = 0

    async def run(self) -> None:
        """Look until cancelled."""
        threading.Thread(target=self._watch_loop, name="watchdog", daemon=True).start()
        while True:
            expected = time.monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            metrics.LOOP_LAG.set(max(0.0, time.monotonic() - expected))
            self._ticks += 1
            await self._pass_expired()
            self.look(time.monotonic())

    async def _pass_expired(self) -> None:
        """See to partitions that have grown and bring nothing: Kafka may have deleted all that was not read."""
        consumer = self._app.consumer
        if self._app.rebalancing:
            return
        for tp in self._assigned():
            end = self._end(tp) or 0
            if tp not in self._router.windows and end > (consumer._committed_offset[tp] or 0):
                try:
                    async with asyncio.timeout(ASK_S):
                        await self._router.pass_expired(consumer, tp, end)
                except (TimeoutError, KafkaError, Leaving):
                    return  # the broker does not answer now, or the worker leaves; the next look asks again
                if self._app.rebalancing:
                    return

    def look(self, now: float) -> None:
        """Compare with the last look. Ends the process where nothing has moved for too long."""
        router, lag = self._router, 0
        for tp, window in router.windows.items():
            if window.entries and self._stood("head", tp, window.head, now) > HEAD_S:
                stalled("the head of a partition does not move", topic=tp.topic, partition=tp.partition, offset=window.head)
        for tp in self._assigned():
            window_ = router.windows.get(tp)
            end = self._end(tp)
            if end is None:
                continue
            read = window_.next if window_ else self._app.consumer._committed_offset[tp] or 0
            lag += max(0, end - (window_.head if window_ else read))
            behind = end > read and not self._app.rebalancing and not router.in_flight
            if self._stood("reading", tp, read if behind else now, now) > READING_S:
                where = {"topic": tp.topic, "partition": tp.partition, "next": read, "end": end}
                stalled("a partition is not read although it has grown", **where)
        metrics.CONSUMER_LAG.set(lag)
        metrics.IN_FLIGHT.set(router.in_flight)
        metrics.REMEMBERED.set(len(self._executions.finished))

    def _end(self, tp: TP) -> int | None:
        """Give a partition's end; None where it is not known yet, or where a rebalance has just taken the partition."""
        try:
            end: int | None = self._app.consumer.highwater(tp)
        except AssertionError:  # how aiokafka says that it is not ours, which its thread may learn at any moment
            return None
        return end

    def _assigned(self) -> list[TP]:
        return [tp for tp in self._app.consumer.assignment() if tp.topic == self._topic]

    def _stood(self, what: str, tp: TP, place: Hashable, now: float) -> float:
        known, since = self._since.get((what, tp), (None, now))
        if known != place:
            since = now
        self._since[what, tp] = place, since
        return now - since

    def _watch_loop(self) -> None:
        """Count looks of ours without a turn of the loop: a pause of the whole process stops both and does not count."""
        seen, missed = self._ticks, 0
        while True:
            time.sleep(LOOK_S)
            missed = 0 if self._ticks != seen else missed + 1
            seen = self._ticks
            if missed > LOOP_S:
                stalled(f"the event loop has not turned for {missed} s: a process blocks it")
