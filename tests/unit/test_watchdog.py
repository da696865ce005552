# SPDX-License-Identifier: Apache-2.0
"""
What the watchdog says of a worker that stands still, and what it takes for patience: a rebalance, a full room, taken threads, and
a Kafka that takes no records. It outlives a partition that a rebalance takes, and a worker that leaves.
"""

from __future__ import annotations

import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from bridge import metrics
from bridge.kafka.progress import Place
from bridge.settings import Settings
from processors.attempts.breakers import Breakers
from processors.parts import _patience_s
from processors.stream.consumer_thread import Leaving
from processors.stream.window import Window
from processors.watch.gauges import REASON_BYTES
from processors.watch.watchdog import Watchdog

TAKEN, GROWN = TP("evb.events", 0), TP("evb.events", 1)
PATIENCE_S = 4.0


class Stalled(Exception):
    """Instead of the end of the process."""


class Worker:
    """A watchdog and everything that it looks at; `looks` is a look a second at the same places."""

    def __init__(self, pass_expired: Any = None) -> None:
        self.consumer = SimpleNamespace(
            assignment=lambda: {TAKEN, GROWN, TP("evb.executions", 1)},
            highwater=highwater,
            _committed_offset=defaultdict(int),
            step="assigned",
        )
        self.recovery = SimpleNamespace(in_recovery=False, active_offsets={})
        self.tables = SimpleNamespace(changelog_topics={"evb.executions"}, actives_ready=True, recovery=self.recovery)
        self.app = SimpleNamespace(consumer=self.consumer, tables=self.tables, rebalancing=False, rebalancing_count=1)
        self.breakers = Breakers(1)
        self.router: Any = SimpleNamespace(
            windows={},
            in_flight=0,
            pass_expired=pass_expired,
            waits_for_room=lambda topic: False,
            waits_for_others=lambda window: False,
            breakers=self.breakers,
        )
        self.unheard_s = 0.0
        self.now = 0.0
        executions: Any = SimpleNamespace(finished=(), size=0)
        announcer: Any = SimpleNamespace(unheard_s=lambda: self.unheard_s)
        words: Any = SimpleNamespace(say=self._say, stacks_to=2)
        self.watchdog = Watchdog(self.app, self.router, executions, announcer, words, "evb.events", PATIENCE_S, None)
        self.watchdog.still._looked = 0.0

    def _say(self, reason: str, **where: Any) -> Any:
        raise Stalled(reason, where.get("partition"))

    def looks(self, seconds: int, place: Place | None = None) -> None:
        for _ in range(seconds):
            self.now += 1
            self.watchdog.look(self.now, {GROWN: place} if place else {})

    def window(self, first: int, entries: int) -> Window:
        window = self.router.windows[GROWN] = Window(GROWN.topic, 1, first)
        for offset in range(first, first + entries):
            window.accept(offset, 1, 0.0)
        return window


def highwater(tp: TP) -> int:
    assert tp != TAKEN  # as aiokafka says it
    return 7


def ends(worker: Worker, place: Place | None = None, within: int = 6) -> tuple[str, int | None]:
    with pytest.raises(Stalled) as caught:
        worker.looks(within, place)
    assert worker.now > PATIENCE_S
    found: tuple[str, int | None] = caught.value.args  # type: ignore[assignment]
    return found


async def test_a_partition_that_was_just_taken_is_passed_over() -> None:
    asked: list[tuple[TP, int]] = []

    async def pass_expired(_: Any, tp: TP, end: int) -> None:
        asked.append((tp, end))

    worker = Worker(pass_expired)
    await worker.watchdog._pass_expired()
    worker.looks(20)
    assert asked == [(GROWN, 7)]


async def test_a_consumer_that_stops_ends_the_look_and_nothing_else() -> None:
    async def pass_expired(*_: Any) -> None:
        raise Leaving

    await Worker(pass_expired).watchdog._pass_expired()


async def test_a_partition_that_grew_and_is_not_read_is_a_stall_of_the_fetch() -> None:
    assert ends(Worker(), Place(3, 9)) == ("fetch", 1)


async def test_an_event_that_does_not_end_is_a_stall_of_the_head() -> None:
    worker = Worker()
    worker.window(3, 2)
    assert ends(worker, Place(3, 9)) == ("head", 1)


async def test_finished_events_that_are_not_committed_are_a_stall_of_the_commit() -> None:
    worker = Worker()
    worker.window(9, 0)
    assert ends(worker, Place(3, 9)) == ("commit", 1)


async def test_a_partition_without_a_backlog_may_stand_for_ever() -> None:
    Worker().looks(100, Place(9, 9))


async def test_a_commit_is_progress() -> None:
    worker = Worker()
    for committed in range(10):
        worker.looks(3, Place(committed, 99))


async def test_backpressure_is_patience_and_only_where_it_explains_the_wait() -> None:
    worker = Worker()
    worker.router.waits_for_room = lambda topic: topic == GROWN.topic
    worker.looks(100, Place(3, 9))
    worker.window(3, 1)
    assert ends(worker, Place(3, 9)) == ("head", 1)
    worker = Worker()
    worker.window(3, 1)
    worker.router.waits_for_others = lambda window: window is worker.router.windows[GROWN]
    worker.looks(100, Place(3, 9))
    worker.router.windows[GROWN] = Window(GROWN.topic, 1, 9)
    assert ends(worker, Place(3, 9)) == ("commit", 1)


async def test_while_kafka_takes_no_records_time_does_not_count_for_as_long_as_the_producer_waits() -> None:
    worker = Worker()
    worker.unheard_s = 6.0
    worker.looks(60, Place(3, 9))
    worker.unheard_s = 80.0
    assert ends(worker, Place(3, 9)) == ("fetch", 1)


async def test_partitions_have_patience_during_a_rebalance_which_has_its_own() -> None:
    worker = Worker()
    worker.app.rebalancing = True
    assert ends(worker, Place(3, 9)) == ("rebalance", None)
    worker = Worker()
    worker.app.rebalancing = True
    for worker.app.rebalancing_count in range(20):
        worker.looks(2, Place(3, 9))


async def test_a_join_may_take_as_long_as_the_brokers_let_it() -> None:
    worker = Worker()
    worker.app.rebalancing, worker.consumer.step = True, "joining"
    worker.looks(34)
    with pytest.raises(Stalled, match="rebalance"):
        worker.looks(3)


async def test_a_recovery_that_goes_on_may_take_any_time_and_one_that_does_not_is_a_stall() -> None:
    worker = Worker()
    worker.app.rebalancing, worker.recovery.in_recovery = True, True
    worker.recovery.active_offsets[TP("evb.executions", 0)] = None  # as Faust has it before it has asked
    for recovered in range(20):
        worker.recovery.active_offsets[TP("evb.executions", 1)] = recovered
        worker.looks(2)
    assert ends(worker) == ("recovery", None)


async def test_metrics_of_a_partition_that_was_taken_disappear() -> None:
    worker = Worker()
    gauges = worker.watchdog.gauges
    gauges._clock = lambda: worker.now
    worker.looks(3, Place(3, 9))
    gauges.show({TAKEN, GROWN}, 5, 7)
    assert metrics.REGISTRY.get_sample_value("evb_worker_executions_remembered") == 5
    assert metrics.REGISTRY.get_sample_value("evb_worker_executions_remembered_bytes") == 7
    labels = {"topic": GROWN.topic, "partition": "1"}
    assert metrics.REGISTRY.get_sample_value("evb_partition_lag_records", labels) == 6
    assert metrics.REGISTRY.get_sample_value("evb_partition_committed_age_seconds", labels) == 2
    assert [one.partition for one in gauges.announced()] == [1]
    gauges.show({TAKEN}, 0, 0)
    assert metrics.REGISTRY.get_sample_value("evb_partition_lag_records", labels) is None
    assert metrics.REGISTRY.get_sample_value("evb_consumer_lag_records") == 0
    gauges.show(set(), 0, 0)


async def test_open_breakers_are_shown() -> None:
    worker = Worker()
    worker.breakers.failed("acme", "crm", "timeout: " + "x" * 4000, time.time())
    worker.watchdog.gauges.show(set(), 0, 0)
    assert metrics.REGISTRY.get_sample_value("evb_process_breakers_open") == 1
    (rests,) = worker.watchdog.gauges.resting()
    assert (rests.tenant, rests.process, len(rests.reason.encode())) == ("acme", "crm", REASON_BYTES)
    worker.breakers.worked("acme", "crm")
    worker.watchdog.gauges.show(set(), 0, 0)
    assert metrics.REGISTRY.get_sample_value("evb_process_breakers_open") == 0


@pytest.mark.parametrize(("lane", "timeout_s", "patience_s"), [("", 120.0, 30.0), ("slow", 120.0, 145.0), ("slow", 0.5, 30.0)])
def test_a_lane_has_as_much_more_time_as_its_process_and_never_less(lane: str, timeout_s: float, patience_s: float) -> None:
    plugins: Any = SimpleNamespace(processes=(SimpleNamespace(timeout_s=timeout_s),))
    assert _patience_s(Settings(stall_s=30.0, worker_lane=lane), plugins) == patience_s
