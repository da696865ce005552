# SPDX-License-Identifier: Apache-2.0
"""The view is lost and comes back from Kafka as it was: every status, event and known id; and only one process makes it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from uuid_utils import uuid7

from bridge.decisions.facts import EPOCH_HEADER, MARKER, parse_key
from bridge.domain.errors import NotFound, ViewUnavailable
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.domain.ids import execution_id
from bridge.executions import encode
from bridge.ingress.messages import Messages
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import connection
from bridge.redis.epoch import ViewGuard
from bridge.redis.gate import Entrant, Gate
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.projection import Projection
from bridge.redis.settlement import Settlement
from bridge.settings import Settings
from bridge.topics import EVENTS, REGISTRY, worker_group
from bridge.view.keeper import ViewKeeper
from bridge.view.rebuild import Report, rebuild
from bridge.view.status import StatusView
from processors.stream.app import make_app
from tests.conftest import StackOfTests
from tests.integration.valkey import OwnValkey
from tests.integration.view_facts import Door, Log, Stored, chunks, everything, make_event, make_execution, ms_now, until

MANY = int(os.environ.get("TEST_REBUILD", "20000"))


@dataclass
class Site:
    """One installation's Kafka and view, without servers."""

    settings: Settings
    pipe: Pipe
    log: Log
    door: Door
    projection: Projection
    status: StatusView
    outside: redis.Redis
    keys: Keys

    async def rebuilt(self) -> Report:
        report = await asyncio.to_thread(rebuild, self.settings)
        assert report is not None
        return report

    async def written(self) -> None:
        """Wait until the projection has nothing more to write."""

        async def idle() -> bool:
            return self.projection.waiting == 0

        await until(idle, 60)
        assert await self.projection.flush(10)

    def record(self, executions: list[Execution]) -> None:
        """Store executions in Kafka and tell the projection, as the worker does."""
        for execution, offset in zip(executions, self.log.executions(executions), strict=True):
            self.projection.recorded(
                execution.tenant, execution.execution_id, execution.correlation_id, offset, encode(execution)
            )

    def finish(self, stored: list[Stored]) -> None:
        """Commit what the router has finished, and say so to the projection."""
        ends: dict[int, int] = {}
        for one in stored:
            ends[one.position.partition] = max(ends.get(one.position.partition, 0), one.position.offset + 1)
        topic = EVENTS.name(self.settings)
        consumer = Consumer(connection(self.settings) | {"group.id": worker_group(self.settings)})
        consumer.commit(offsets=[TopicPartition(topic, p, end) for p, end in ends.items()], asynchronous=False)
        consumer.close()
        for partition, end in ends.items():
            self.projection.passed(partition, end)


@asynccontextmanager
async def site_of(settings: Settings) -> AsyncIterator[Site]:
    ensure_topics(settings)
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    projection = Projection(pipe, settings)
    running = asyncio.create_task(projection.run())
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True) as outside:
        keys = Keys(settings.topic_prefix)
        yield Site(settings, pipe, Log(settings), Door(pipe, settings), projection, StatusView(pipe, settings), outside, keys)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled(), running.exception()
    await pipe.close()


@pytest.fixture
async def site(tmp_path: Path, stack: StackOfTests) -> AsyncIterator[Site]:
    """A site with a Valkey of its own, which may be emptied."""
    own = OwnValkey(tmp_path).start()
    try:
        async with site_of(stack.settings(redis=own.settings(timeout_ms=2000))) as found:
            yield found
    finally:
        own.kill()


def outcome_of(number: int, stored: Stored) -> list[Execution]:
    """What became of the n-th event: done, failed, skipped, tried again, or wanted by nobody."""
    match number % 5:
        case 0:
            return [make_execution(stored.event, stored.position)]
        case 1:
            failed = make_execution(stored.event, stored.position, Status.FAILED, reason="boom: it broke", results=())
            return [failed, make_execution(stored.event, stored.position, process="audit")]
        case 2:
            return [make_execution(stored.event, stored.position, Status.SKIPPED, data="null", results=())]
        case 3:
            again = make_execution(stored.event, stored.position, Status.PENDING, reason="busy: later")
            return [again, replace(again, status=Status.COMPLETED, attempt=2, finished_ms=9, reason="")]
        case _:
            return []


async def filled(site: Site, count: int) -> list[Stored]:
    """Live through `count` events: accepted at the door, emitted, executed, passed."""
    events = [make_event(n, tenant=("acme", "beta")[n % 2], correlation_id="tree" if n % 100 == 7 else "") for n in range(count)]
    stored = site.log.events(events)
    for some in chunks(stored, 200):
        await asyncio.gather(*(site.door.accept(one) for one in some))
    emitted = [make_event(count + n, correlation_id=events[n].key, causationid="x", hops="1") for n in range(0, count, 50)]
    for one in site.log.events(emitted):
        site.projection.emitted(one.event, one.accepted_ms, one.position.partition, one.position.offset)
        stored.append(one)
    site.record([execution for n, one in enumerate(stored) for execution in outcome_of(n, one)])
    site.finish(stored)
    await site.written()
    return stored


def without_passed_expectations(found: dict[str, object]) -> dict[str, object]:
    """Leave out what no look-up shows any more: what was expected of events that the router has since passed."""
    hidden = {name for name, value in found.items() if isinstance(value, str) and value.startswith("-1|")}
    members = {f"x:{name.rpartition(':')[2]}" for name in hidden}
    return {name: value - members if isinstance(value, set) else value for name, value in found.items() if name not in hidden}


@pytest.mark.timeout(240)
async def test_everything_is_as_before(site: Site) -> None:
    stored = await filled(site, MANY)
    await site.rebuilt()
    before = without_passed_expectations(everything(site.outside, site.settings))
    views = [await site.status.event(one.event.tenant, one.event.key) for one in stored[:200]]
    tree = await site.status.correlation("beta", "tree")
    assert tree.executions
    site.outside.flushall()
    with pytest.raises(ViewUnavailable):
        await site.status.event("acme", stored[0].event.key)
    report = await site.rebuilt()
    after = everything(site.outside, site.settings)
    assert len(before) > 3 * MANY
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert set(after) == set(before)
    assert (report.events, report.unreadable) == (len(stored), 0)
    assert report.seconds < 60 * MANY / 100_000 + 10
    assert [await site.status.event(one.event.tenant, one.event.key) for one in stored[:200]] == views
    assert await site.status.correlation("beta", "tree") == tree
    print(f"\n{report.events} events, {report.executions} records in {report.seconds:.2f} s")


def make_message(tenant: str, **attributes: str) -> Event:
    """A message of the Event Ingress dialect, as its door makes it."""
    key = str(uuid7())
    given = {"specversion": "1.0", "id": key, "source": "/eventingress", "type": "eventingress.a.b.process", "eventkey": key}
    return Event(given | {"tenantid": tenant, "correlationid": key} | attributes, b'{"a": 1}')


async def test_messages_that_only_the_worker_knew_of_are_listed_as_before(site: Site) -> None:
    texts = {"entityid": "e", "ingresssource": "s%0A", "ingresscorrelation": "c", "ingresspriority": "-3"}
    messages = [make_message(tenant, **(texts if n % 2 else {})) for n in range(20) for tenant in ("acme", "beta")]
    odd = [make_message("acme", type="eventingress.a.b"), make_message("acme", ingresspriority="x"), make_event(1)]
    stored = site.log.events([*messages, *odd])
    for one in stored:
        await site.door.accept(one)
        site.projection.taken(one.event, one.accepted_ms)
    site.finish(stored)
    await site.written()
    assert site.outside.zcard(site.keys.messages("acme")) == site.outside.zcard(site.keys.messages("beta")) == 20
    await site.rebuilt()
    before = without_passed_expectations(everything(site.outside, site.settings))
    looking = Messages(site.pipe, site.settings, ViewGuard(site.pipe, site.settings), site.status)
    found = (await looking.page("acme", 0, ms_now() + 1000, 100, None)).messages
    assert {(one.row.source, one.row.priority, one.payload) for one in found} == {
        ("s\n", -3, b'{"a": 1}'),
        ("", None, b'{"a": 1}'),
    }
    site.outside.flushall()
    await site.rebuilt()
    assert everything(site.outside, site.settings) == before
    assert (await looking.page("acme", 0, ms_now() + 1000, 100, None)).messages == found


async def test_events_that_wait_for_the_router_are_pending_again(site: Site) -> None:
    passed, waiting = site.log.events([make_event(1), make_event(2)])
    for one in (passed, waiting):
        await site.door.accept(one)
    if passed.position.partition == waiting.position.partition:
        assert passed.position.offset < waiting.position.offset
    site.finish([passed])
    await site.written()
    await site.rebuilt()
    pending = await site.status.event("acme", waiting.event.key)
    assert [execution.status for execution in pending.executions] == [Status.PENDING]
    site.outside.flushall()
    assert await asyncio.to_thread(rebuild, site.settings, lambda tenant, event_type: ("record",)) is not None
    assert await site.status.event("acme", waiting.event.key) == pending
    assert (await site.status.event("acme", passed.event.key)).executions == ()
    name = execution_id(waiting.event.key, "record")
    assert (await site.status.execution("acme", name)).status == Status.PENDING


async def test_records_that_nobody_can_read_are_counted_and_passed_over(site: Site) -> None:
    bad = make_event(1)
    site.log.events([replace(bad, attributes={**bad.attributes, "tenantid": "acme", "specversion": "9"}), make_event(2)])
    report = await site.rebuilt()
    assert (report.events, report.unreadable) == (1, 1)


async def test_what_has_outlived_its_time_does_not_come_back(site: Site) -> None:
    (stored,) = site.log.events([make_event(1)])
    await site.rebuilt()
    assert await site.status.event("acme", stored.event.key)
    short = site.settings.model_copy(update={"retention_hours": 1})
    site.outside.flushall()
    old = make_event(2)
    site.log.event_at(old, ms_now() - 3_700_000)
    report = await asyncio.to_thread(rebuild, short)
    assert report is not None
    assert await site.status.event("acme", stored.event.key)
    with pytest.raises(NotFound):
        await site.status.event("acme", old.key)
    assert site.outside.ttl(site.keys.event("acme", stored.event.key)) <= 3600


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


@pytest.mark.timeout(120)
async def test_a_view_that_is_lost_under_load_comes_back_by_itself(tmp_path: Path, stack: StackOfTests) -> None:
    own = OwnValkey(tmp_path).start()
    try:
        async with site_of(stack.settings(redis=own.settings(timeout_ms=2000))) as site:
            await _lost_under_load(site, own)
    finally:
        own.kill()


async def _lost_under_load(site: Site, own: OwnValkey) -> None:
    """Go on accepting and executing while Valkey is emptied once and killed once, then compare every status with Kafka."""
    keepers, guard = [ViewKeeper(site.pipe, site.settings) for _ in range(2)], ViewGuard(site.pipe, site.settings)
    keeping = [asyncio.create_task(one.run()) for one in (*keepers, guard)]
    settlement = Settlement(Gate(site.pipe, site.settings), guard, asyncio.get_running_loop())
    told: list[tuple[Stored, list[Execution]]] = []
    for turn in range(30):
        events = [make_event(turn * 100 + n) for n in range(100)]
        entrants = [await _let_in(site, one) for one in events]
        stored = await asyncio.to_thread(site.log.events, events)
        for entrant, one in zip(entrants, stored, strict=True):
            settlement.say((entrant, "o", f"{one.position.partition}:{one.position.offset}"))
        outcomes = [outcome_of(n, one) for n, one in enumerate(stored)]
        await asyncio.to_thread(site.record, [execution for executions in outcomes for execution in executions])
        await asyncio.to_thread(site.finish, stored)
        told += zip(stored, outcomes, strict=True)
        if turn == 10:
            site.outside.flushall()
        if turn == 20:
            own.kill()
            own.start()

    async def whole() -> bool:
        try:
            return not settlement.busy and bool(await site.status.event("acme", told[-1][0].event.key))
        except (ViewUnavailable, NotFound):
            return False

    await until(whole, 60)
    await site.written()
    for stored_one, executions in told:
        view = await site.status.event(stored_one.event.tenant, stored_one.event.key)
        assert view.position == stored_one.position
        last = {execution.execution_id: execution for execution in executions}
        assert {execution.execution_id: execution for execution in view.executions} == last
    assert sum(keeper.last is not None for keeper in keepers) >= 1
    for task in keeping:
        task.cancel()
    await asyncio.wait(keeping)


async def _let_in(site: Site, event: Event) -> Entrant:
    """Reserve an event as the intake does, which goes on without Redis."""
    try:
        return await site.door.reserve(event, ms_now())
    except ViewUnavailable:
        return Entrant(event, event.id == event.key, ms_now(), ("record",))


def test_the_rebuild_asks_the_group_that_the_workers_are_in(stack: StackOfTests) -> None:
    settings = stack.settings()
    assert make_app(settings).conf.id == worker_group(settings)
