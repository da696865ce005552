# SPDX-License-Identifier: Apache-2.0
"""The watchdog's look outlives a partition that a rebalance takes, and a worker that leaves: neither is a fault."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from processors.batches import Leaving
from processors.watchdog import Watchdog

TAKEN, GROWN = TP("evb.events", 0), TP("evb.events", 1)


def highwater(tp: TP) -> int:
    assert tp != TAKEN  # as aiokafka says it
    return 7


def watchdog(pass_expired: Any) -> Watchdog:
    consumer = SimpleNamespace(assignment=lambda: [TAKEN, GROWN], highwater=highwater, _committed_offset=defaultdict(int))
    router: Any = SimpleNamespace(windows={}, in_flight=0, pass_expired=pass_expired)
    executions: Any = SimpleNamespace(finished=())
    return Watchdog(SimpleNamespace(consumer=consumer, rebalancing=False), router, executions, "evb.events")


async def test_a_partition_that_was_just_taken_is_passed_over() -> None:
    asked: list[tuple[TP, int]] = []

    async def pass_expired(_: Any, tp: TP, end: int) -> None:
        asked.append((tp, end))

    looking = watchdog(pass_expired)
    await looking._pass_expired()
    looking.look(0.0)
    assert asked == [(GROWN, 7)]


async def test_a_consumer_that_stops_ends_the_look_and_nothing_else() -> None:
    async def pass_expired(*_: Any) -> None:
        raise Leaving

    await watchdog(pass_expired)._pass_expired()
