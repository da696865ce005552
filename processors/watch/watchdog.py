# SPDX-License-Identifier: Apache-2.0
"""
Liveness is progress: end the process when a partition, a rebalance, the recovery or the event loop stands still.

Started by `processors.parts`. A supervisor starts the worker again; what was not committed is read again. What counts as standing
still, and what does not: docs/explanation/standing-still.md.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, NoReturn

from aiokafka.errors import KafkaError
from faust.types import TP

from bridge.kafka.progress import Partition, Place
from bridge.registry.announcing import Announcer
from processors.attempts.router import Router
from processors.stream.app import REBALANCE_S
from processors.stream.consumer_thread import Leaving
from processors.stream.window import Window
from processors.tables.record_tables import ExecutionsTable
from processors.watch.gauges import Gauges
from processors.watch.lastwords import LastWords
from processors.watch.overdue import Overdue
from processors.watch.stillness import Stillness
from processors.watch.turning import Turning
from processors.watch.witness import Witness

LOOK_S: Final = 1.0
ASK_S: Final = 5.0

UNHEARD_S: Final = (5.0, 75.0)
"""
Between these ages of an unconfirmed heartbeat Kafka takes no records: it answers questions, and time does not count.

The producer gives every record's fate after `parts.DELIVERY_S`; if it is silent for longer, it is the producer that stands still.
"""

APP: Final = "the application"


class Watchdog:
    """Looks about once a second, and judges by each new answer of the witness."""

    def __init__(
        self,
        app: Any,
        router: Router,
        executions: ExecutionsTable,
        announcer: Announcer,
        last_words: LastWords,
        events_topic: str,
        patience_s: float,
        overdue: Overdue | None,
    ) -> None:
        """Give what stands still `patience_s` seconds; `overdue` looks at the mover, where there is one."""
        self._app, self._router, self._executions, self._announcer = app, router, executions, announcer
        self._end, self._events, self._patience_s = last_words.say, events_topic, patience_s
        self._stacks_to = last_words.stacks_to
        self.still = Stillness(time.monotonic())
        self.gauges = Gauges(router, self.still)
        self._overdue = overdue
        self.asked: list[Partition] = [(events_topic, 0)]

    async def run(self, witness: Witness) -> NoReturn:
        """Look until cancelled."""
        turning = Turning(asyncio.get_running_loop(), lambda seconds: self._end("loop", seconds=seconds), self._stacks_to)
        turning.start()
        witness.start()
        if self._overdue is not None:
            self._overdue.start()
        while True:
            await asyncio.sleep(min(LOOK_S, self._patience_s / 5))
            if (places := witness.news()) is not None:
                self.look(time.monotonic(), {TP(*one): place for one, place in places.items()})
            if self._overdue is not None:
                self._overdue.look(self._counts())
            assigned = self.assigned()
            self.asked = [(tp.topic, tp.partition) for tp in assigned] or [(self._events, 0)]  # any: does Kafka answer?
            self.gauges.show(set(assigned), len(self._executions.finished), self._executions.size)
            await self._pass_expired()

    def assigned(self) -> list[TP]:
        """Give the partitions that are read for good: those of the tables' topics are not."""
        if self._app.consumer.step == "starting":
            return []
        changelogs = self._app.tables.changelog_topics
        return [tp for tp in self._app.consumer.assignment() if tp.topic not in changelogs]

    def look(self, now: float, places: dict[TP, Place]) -> None:
        """Compare with the last look. Ends the process where something has stood still for too long."""
        self.still.look(now)
        self._look_at_application(self._ready())
        assigned = self.assigned()
        self.still.keep((APP, *assigned))
        counts = self._counts()
        for tp in assigned:
            if (place := places.get(tp)) is not None:
                self._look_at(tp, place, counts)

    def _ready(self) -> bool:
        return not self._app.rebalancing and bool(self._app.tables.actives_ready)

    def _counts(self) -> bool:
        """Say whether time counts: the worker works, and Kafka takes its records."""
        low, high = UNHEARD_S
        return self._ready() and not low < self._announcer.unheard_s() < high

    def _look_at(self, tp: TP, place: Place, counts: bool) -> None:
        window = self._router.windows.get(tp)
        self.gauges.lag[tp] = place.lag
        cause = _cause(window, place)
        if cause == "fetch":
            waits = self._router.waits_for_room(tp.topic)
        else:
            waits = cause == "head" and window is not None and self._router.waits_for_others(window)
        stood = self.still.see(tp, (place.committed, place.lag > 0), counts=counts and not waits)
        if place.lag and stood > self._patience_s:
            where = {"topic": tp.topic, "partition": tp.partition, "committed": place.committed, "end": place.end}
            self._end(cause, **where, in_flight=len(window.unfinished()) if window else 0, seconds=round(stood, 1))

    def _look_at_application(self, ready: bool) -> None:
        """Watch a start, a rebalance and a recovery: each step and each recovered record is progress."""
        app, consumer = self._app, self._app.consumer
        recovering = consumer.step == "assigned" and app.tables.recovery.in_recovery
        known = app.tables.recovery.active_offsets.values() if recovering else ()
        recovered = sum(offset for offset in known if offset is not None)  # before they are asked for, Faust knows none
        where = (ready, app.rebalancing_count, consumer.step, recovering, recovered)
        stood = self.still.see(APP, where)
        # the brokers themselves end a join after their time, whoever is missing
        patience = self._patience_s + (REBALANCE_S if consumer.step in ("starting", "joining") else 0)
        if not ready and stood > patience:
            reason = "recovery" if recovering else "rebalance"
            self._end(reason, step=consumer.step, rebalances=app.rebalancing_count, recovered=recovered, seconds=round(stood, 1))

    async def _pass_expired(self) -> None:
        """See to partitions that have grown and bring nothing: Kafka may have deleted all that was not read."""
        consumer = self._app.consumer
        if self._app.rebalancing:
            return
        for tp in self.assigned():
            end = _end_of(consumer, tp)
            if tp not in self._router.windows and end > (consumer._committed_offset[tp] or 0):
                try:
                    async with asyncio.timeout(ASK_S):
                        await self._router.pass_expired(consumer, tp, end)
                except (TimeoutError, KafkaError, Leaving):
                    return  # the broker does not answer now, or the worker leaves; the next look asks again
                if self._app.rebalancing:
                    return


def _cause(window: Window | None, place: Place) -> str:
    """Say which of the steps of a partition stands still."""
    if window is None or (not window.entries and window.next <= place.committed):
        return "fetch"
    return "commit" if window.head > place.committed else "head"


def _end_of(consumer: Any, tp: TP) -> int:
    """Give a partition's end as the consumer knows it; 0 where it does not, or where a rebalance has just taken the partition."""
    try:
        return consumer.highwater(tp) or 0
    except AssertionError:  # how aiokafka says that it is not ours, which its thread may learn at any moment
        return 0
