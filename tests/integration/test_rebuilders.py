# SPDX-License-Identifier: Apache-2.0
"""Who makes the view again, and when: one process, under a new epoch, and never over a hole; what ends it opens nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from bridge.decisions.facts import EPOCH_HEADER, MARKER, parse_key
from bridge.domain.errors import ViewUnavailable
from bridge.executions import encode
from bridge.kafka.client import connection
from bridge.redis.projection import Projection
from bridge.topics import REGISTRY
from bridge.view.keeper import ViewKeeper
from bridge.view.rebuild import rebuild
from tests.conftest import StackOfTests
from tests.integration.rebuilding import Site, own_site
from tests.integration.view_facts import make_event, make_execution, until


@pytest.fixture
async def site(tmp_path: Path, stack: StackOfTests) -> AsyncIterator[Site]:
    async with own_site(tmp_path, stack) as (found, _):
        yield found


async def test_every_rebuild_marks_a_new_epoch_in_every_partition_before_it_opens(site: Site) -> None:
    first, second = await site.rebuilt(), await site.rebuilt()
    assert (first.epoch, second.epoch) == (f"{site.pipe.run_id}:1", f"{site.pipe.run_id}:2")
    assert site.outside.get(site.keys.epoch) == second.epoch
    consumer = Consumer(connection(site.settings) | {"group.id": "look", "auto.offset.reset": "earliest"})
    topic = REGISTRY.name(site.settings)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(site.settings.partitions)])
    found = []
    deadline = time.monotonic() + 10
    while len(found) < 2 * site.settings.partitions and time.monotonic() < deadline:
        found += consumer.consume(100, 0.2)
    consumer.close()
    for number in (1, 2):
        marks = [m for m in found if (key := parse_key(m.key() or b""))[0].kind == MARKER and key[1] == number]
        assert sorted(m.partition() or 0 for m in marks) == list(range(site.settings.partitions))
        assert all(dict(m.headers() or []) == {EPOCH_HEADER: str(number).encode()} and m.value() == b"" for m in marks)


async def test_of_two_rebuilders_at_once_one_works(site: Site) -> None:
    site.log.events([make_event(n) for n in range(2000)])
    reports = await asyncio.gather(*(asyncio.to_thread(rebuild, site.settings) for _ in range(4)))
    made = [report for report in reports if report is not None]
    assert made, "somebody must do it"
    assert len({report.epoch for report in made}) == len(made)
    assert site.outside.get(site.keys.epoch) == max(made, key=lambda report: report.epoch).epoch
    assert site.outside.get(site.keys.rebuild) is None


async def test_who_noticed_the_loss_and_comes_late_does_not_rebuild_again(site: Site) -> None:
    epoch = (await site.rebuilt()).epoch
    assert await asyncio.to_thread(rebuild, site.settings, only_lost=True) is None
    assert site.outside.get(site.keys.epoch) == epoch, "decisions that were begun under it can still be confirmed"
    assert site.outside.get(site.keys.rebuild) is None
    site.outside.delete(site.keys.epoch)
    assert await asyncio.to_thread(rebuild, site.settings, only_lost=True) is not None


async def test_a_rebuild_that_is_emptied_under_way_opens_nothing(site: Site) -> None:
    site.log.events([make_event(n) for n in range(3000)])
    emptied = threading.Event()

    def empty(done: int, total: int) -> None:
        if done > 500 and not emptied.is_set():
            emptied.set()
            site.outside.flushall()

    with pytest.raises(ViewUnavailable):
        await asyncio.to_thread(rebuild, site.settings, progress=empty)
    assert site.outside.get(site.keys.epoch) is None
    report = await site.rebuilt()
    assert report.events == 3000


async def test_a_hole_under_way_spoils_the_rebuild(site: Site) -> None:
    site.log.events([make_event(n) for n in range(600)])

    def miss(done: int, total: int) -> None:
        site.outside.delete(site.keys.epoch)
        site.outside.incr(site.keys.holes)

    with pytest.raises(ViewUnavailable):
        await asyncio.to_thread(rebuild, site.settings, progress=miss)
    assert site.outside.get(site.keys.epoch) is None
    assert site.outside.get(site.keys.rebuild) is None, "the next one need not wait for the lease to run out"


async def test_a_rebuild_can_be_stopped(site: Site) -> None:
    site.log.events([make_event(n) for n in range(600)])
    stop = threading.Event()
    stop.set()
    with pytest.raises(ViewUnavailable):
        await asyncio.to_thread(rebuild, site.settings, stop=stop)
    assert site.outside.get(site.keys.epoch) is None


async def test_what_another_server_left_is_removed_and_what_live_writers_write_stays(site: Site) -> None:
    (stored,) = site.log.events([make_event(1)])
    site.outside.set(site.keys.epoch, "another-server:4")
    foreign = [site.keys.event("acme", "gone"), site.keys.execution("acme", "gone"), site.keys.correlation("acme", "gone")]
    for name in foreign:
        site.outside.set(name, "x")
    site.outside.rpush(site.keys.rate("acme", 10), 1)
    site.outside.hset(site.keys.passed, "0", 9_000_000)
    await site.rebuilt()
    assert site.outside.exists(*foreign, site.keys.passed) == 0
    assert site.outside.exists(site.keys.rate("acme", 10)) == 1
    assert await site.status.event("acme", stored.event.key)


async def test_a_hole_of_the_projection_is_mended_by_the_keeper(site: Site, tmp_path: Path) -> None:
    keeper = ViewKeeper(site.pipe, site.settings)
    keeping = asyncio.create_task(keeper.run())
    small = Projection(site.pipe, site.settings, capacity=10)
    working = asyncio.create_task(small.run())

    async def whole() -> bool:
        return site.outside.get(site.keys.epoch) is not None

    await until(whole)
    stored = site.log.events([make_event(n) for n in range(40)])
    executions = [make_execution(one.event, one.position) for one in stored]
    first = site.outside.get(site.keys.epoch)
    for execution, offset in zip(executions, site.log.executions(executions), strict=True):
        small.recorded(execution.tenant, execution.execution_id, execution.correlation_id, offset, encode(execution))
    assert small.holes > 0

    async def mended() -> bool:
        return site.outside.get(site.keys.epoch) not in (None, first)

    await until(mended)
    for execution in executions:
        assert await site.status.execution("acme", execution.execution_id) == execution
    for task in (keeping, working):
        task.cancel()
    await asyncio.wait([keeping, working])
