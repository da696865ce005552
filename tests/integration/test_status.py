# SPDX-License-Identifier: Apache-2.0
"""What the look-ups answer, on a real Valkey that the intake's scripts and the projection have written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis

from bridge.domain.errors import NotFound, TreeTooLarge, ViewUnavailable
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, Status
from bridge.domain.ids import execution_id
from bridge.domain.view import EventView
from bridge.executions import encode
from bridge.redis import operations
from bridge.redis.keys import Keys
from bridge.redis.operations import Operation
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.summaries import summarise
from bridge.topics import EVENTS
from bridge.view import status
from bridge.view.status import StatusView
from tests.conftest import StackOfTests
from tests.integration.view_facts import Door, make_event, make_execution, ms_now

FOREVER = 4_000_000_000


class Desk:
    """A status view, and the hands that write what it shows."""

    def __init__(self, settings: Settings, pipe: Pipe, outside: redis.Redis) -> None:
        self.status, self.door = StatusView(pipe, settings), Door(pipe, settings)
        self.keys, self.outside, self._pipe = Keys(settings.topic_prefix), outside, pipe
        self.topic = EVENTS.name(settings)
        outside.set(self.keys.epoch, f"{pipe.run_id}:1")

    def at(self, offset: int, partition: int = 1) -> Position:
        return Position(self.topic, partition, offset)

    async def accept(self, event: Event, position: Position | None, expected: tuple[str, ...] = ("record",)) -> None:
        entrant = await self.door.reserve(event, ms_now(), expected)
        if position is not None:
            assert await self.door.confirm(entrant, position) == 0

    async def write(self, found: Sequence[Operation]) -> None:
        fields = [field for operation in found for field in operation]
        await self._pipe.script(script("project"), (self.keys.epoch, self.keys.passed), fields)

    async def record(self, execution: Execution, offset: int) -> None:
        names = execution.tenant, execution.execution_id, execution.correlation_id
        await self.write([operations.recorded(self.keys, *names, offset, encode(execution), FOREVER)])

    async def passed(self, partition: int, next_offset: int) -> None:
        await self.write([operations.passed(partition, next_offset)])


@pytest.fixture
async def desk(stack: StackOfTests) -> AsyncIterator[Desk]:
    settings = stack.settings()
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    with redis.Redis.from_url(stack.redis, decode_responses=True) as outside:
        yield Desk(settings, pipe, outside)
    await pipe.close()


def states(view: EventView) -> dict[str, tuple[str, int]]:
    return {execution.process: (execution.status.value, execution.attempt) for execution in view.executions}


async def test_an_event_is_found_with_what_is_expected_of_it_before_kafka_has_it(desk: Desk) -> None:
    event = make_event(1)
    await desk.accept(event, None, ("record", "audit"))
    view = await desk.status.event("acme", event.key)
    assert view.position is None
    assert not view.settled
    assert states(view) == {"record": ("pending", 0), "audit": ("pending", 0)}
    assert (view.summary.id, view.summary.type, view.summary.size) == ("id-1", "test.happened", 7)


async def test_what_the_router_did_not_choose_is_shown_until_it_has_passed_the_event(desk: Desk) -> None:
    event = make_event(2)
    await desk.accept(event, desk.at(5), ("record", "audit"))
    await desk.passed(1, 5)
    assert set(states(await desk.status.event("acme", event.key))) == {"record", "audit"}
    done = make_execution(event, desk.at(5))
    await desk.record(done, 40)
    assert states(await desk.status.event("acme", event.key)) == {"record": ("completed", 1), "audit": ("pending", 0)}
    await desk.passed(1, 6)
    view = await desk.status.event("acme", event.key)
    assert view.executions == (done,)
    assert view.settled
    with pytest.raises(NotFound):
        await desk.status.execution("acme", execution_id(event.key, "audit"))


async def test_what_a_dead_worker_had_begun_is_shown_until_the_router_has_passed_the_event(desk: Desk) -> None:
    """Nobody goes on with it then: an attempt that is begun again from the event has its record before that."""
    event = make_event(15)
    await desk.accept(event, desk.at(5), ())
    begun = {name: make_execution(event, desk.at(5), Status.IN_PROGRESS, process=name) for name in ("of-event", "of-replay")}
    for name, execution in begun.items():
        fact = operations.begun(desk.keys, execution, encode(execution), FOREVER, of_event=name == "of-event")
        await desk.write([fact])
    await desk.passed(1, 5)
    assert set(states(await desk.status.event("acme", event.key))) == set(begun)
    assert await desk.status.execution("acme", begun["of-event"].execution_id) == begun["of-event"]
    await desk.passed(1, 6)
    assert set(states(await desk.status.event("acme", event.key))) == {"of-replay"}
    assert (await desk.status.correlation("acme", event.key)).executions == (begun["of-replay"],)
    with pytest.raises(NotFound):
        await desk.status.execution("acme", begun["of-event"].execution_id)
    assert await desk.status.execution("acme", begun["of-replay"].execution_id) == begun["of-replay"]


async def test_an_execution_is_found_expected_and_done(desk: Desk) -> None:
    event = make_event(3)
    await desk.accept(event, desk.at(9))
    name = execution_id(event.key, "record")
    pending = await desk.status.execution("acme", name)
    assert (pending.status, pending.attempt, pending.process) == (Status.PENDING, 0, "record")
    assert (pending.event_position, pending.event_key) == (desk.at(9), event.key)
    done = make_execution(event, desk.at(9))
    await desk.record(done, 1)
    assert await desk.status.execution("acme", name) == done


async def test_an_event_is_found_by_source_and_id(desk: Desk) -> None:
    event = make_event(4)
    await desk.accept(event, desk.at(1))
    assert (await desk.status.event_by_id("acme", "/test", "id-4")).summary.key == event.key
    born = make_event(5)
    born = Event({**born.attributes, "id": born.key}, born.data)
    await desk.accept(born, desk.at(2))
    assert (await desk.status.event_by_id("acme", "/test", born.key)).summary.key == born.key
    for source, name in (("/other", "id-4"), ("/test", "id-5"), ("/other", born.key), ("/test", event.key)):
        with pytest.raises(NotFound):
            await desk.status.event_by_id("acme", source, name)


async def test_a_correlation_id_ties_events_and_all_their_executions(desk: Desk) -> None:
    cause = make_event(6)
    await desk.accept(cause, desk.at(1))
    emitted = [make_event(n, correlation_id=cause.key, causationid="x", hops="1") for n in (7, 8)]
    for n, event in enumerate(emitted):
        await desk.write([operations.stored(desk.keys, summarise(event, ms_now()), 1, 2 + n, FOREVER)])
    done = [make_execution(event, desk.at(n + 1), started_ms=100 + n) for n, event in enumerate([cause, *emitted])]
    for n, execution in enumerate(done):
        await desk.record(execution, n)
    tree = await desk.status.correlation("acme", cause.key)
    assert tree.executions == tuple(done)
    assert [summary.key for summary in tree.events] == [cause.key, *(event.key for event in emitted)]
    assert (await desk.status.event("acme", cause.key)).executions == (done[0],)
    assert (await desk.status.event("acme", emitted[0].key)).executions == (done[1],)


async def test_a_correlation_id_of_an_event_that_nobody_wants_is_known(desk: Desk) -> None:
    event = make_event(9)
    await desk.accept(event, desk.at(1), ())
    tree = await desk.status.correlation("acme", event.key)
    assert [summary.key for summary in tree.events] == [event.key]
    assert tree.executions == ()


async def test_a_large_tree_is_read_whole(desk: Desk) -> None:
    events = [make_event(n, correlation_id="big") for n in range(1200)]
    done = [make_execution(event, desk.at(n)) for n, event in enumerate(events)]
    for n, (event, execution) in enumerate(zip(events, done, strict=True)):
        names = execution.tenant, execution.execution_id, execution.correlation_id
        await desk.write(
            [
                operations.stored(desk.keys, summarise(event, n), 1, n, FOREVER),
                operations.recorded(desk.keys, *names, n, encode(execution), FOREVER),
            ]
        )
    tree = await desk.status.correlation("acme", "big")
    assert [summary.key for summary in tree.events] == [event.key for event in events]
    assert {execution.execution_id for execution in tree.executions} == {execution.execution_id for execution in done}
    assert (await desk.status.event("acme", events[700].key)).executions == (done[700],)
    async with desk.status._turns("acme"):
        with pytest.raises(TimeoutError):  # it has its turn with the tenant's other large look-ups
            await asyncio.wait_for(desk.status.event("acme", events[700].key), 0.3)


async def tied(desk: Desk, name: str, first: int) -> list[Event]:
    """Tie six executed events together, in the tenant `acme`."""
    events = [make_event(n, correlation_id=name) for n in range(first, first + 6)]
    for n, event in enumerate(events):
        await desk.accept(event, desk.at(n))
        await desk.record(make_execution(event, desk.at(n)), n)
    return events


async def test_a_tree_that_is_too_large_is_refused_and_its_events_are_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    events = await tied(desk, "too-large", 900)
    assert len((await desk.status.correlation("acme", "too-large")).executions) == 6
    for limit, least in (("TREE_MEMBERS", 11), ("PAGE_BYTES", 1000)):
        with monkeypatch.context() as patched:
            patched.setattr(status, limit, least)
            with pytest.raises(TreeTooLarge):
                await desk.status.correlation("acme", "too-large")
            assert len((await desk.status.event("acme", events[3].key)).executions) == 1


async def test_large_trees_of_a_tenant_are_looked_up_one_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await tied(desk, "large", 910)
    tree, at_once, most = StatusView._tree, [0], [0]

    async def watched(self: StatusView, *names: str) -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        found = await tree(self, *names)
        at_once[0] -= 1
        return found

    monkeypatch.setattr(StatusView, "_tree", watched)
    for large, together in ((1000, 5), (11, 1)):
        monkeypatch.setattr(status, "LARGE", large)
        most[0] = 0
        found = await asyncio.gather(*(desk.status.correlation("acme", "large") for _ in range(5)))
        assert {len(one.executions) for one in found} == {6}
        assert most[0] == together


async def test_unknown_names_and_other_tenants_are_not_found(desk: Desk) -> None:
    event = make_event(10)
    await desk.accept(event, desk.at(1))
    execution = execution_id(event.key, "record")
    for tenant, name in (("beta", None), ("acme", "unknown")):
        with pytest.raises(NotFound):
            await desk.status.event(tenant, name or event.key)
        with pytest.raises(NotFound):
            await desk.status.event_by_id(tenant, "/test", name or event.id)
        with pytest.raises(NotFound):
            await desk.status.execution(tenant, name or execution)
        with pytest.raises(NotFound):
            await desk.status.correlation(tenant, name or event.key)


async def test_a_reservation_that_kafka_never_confirmed_is_forgotten_after_half_a_minute(desk: Desk) -> None:
    event = make_event(11)
    await desk.accept(event, None)
    assert await desk.status.event("acme", event.key)
    desk.outside.hincrby(desk.keys.event("acme", event.key), "r", -31_000)
    with pytest.raises(NotFound):
        await desk.status.event("acme", event.key)
    with pytest.raises(NotFound):
        await desk.status.correlation("acme", event.key)
    with pytest.raises(NotFound):
        await desk.status.execution("acme", execution_id(event.key, "record"))


@pytest.mark.parametrize("epoch", [None, "another-server:7", "lost"])
async def test_a_lost_view_answers_nothing(desk: Desk, epoch: str | None) -> None:
    event = make_event(12)
    await desk.accept(event, desk.at(1))
    if epoch is None:
        desk.outside.delete(desk.keys.epoch)
    else:
        desk.outside.set(desk.keys.epoch, epoch)
    for look in (
        desk.status.event("acme", event.key),
        desk.status.event_by_id("acme", "/test", event.id),
        desk.status.execution("acme", "any"),
        desk.status.correlation("acme", event.key),
        desk.status.event("acme", "unknown"),
        desk.status.wait_final("acme", event.key, 0.1),
    ):
        with pytest.raises(ViewUnavailable):
            await look


async def test_a_long_poll_ends_when_the_last_execution_does(desk: Desk) -> None:
    event = make_event(13)
    await desk.accept(event, desk.at(3))
    waiting = asyncio.create_task(desk.status.wait_final("acme", event.key, 20))
    retried = make_execution(event, desk.at(3), Status.PENDING)
    await desk.record(retried, 1)
    await desk.passed(1, 4)
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done, "an execution that will be tried again is not final"
    began = time.monotonic()
    final = replace(retried, status=Status.FAILED, attempt=2, finished_ms=5)
    await desk.record(final, 2)
    assert (await waiting).executions == (final,)
    assert time.monotonic() - began < 1


async def test_a_long_poll_gives_what_it_saw_last_when_time_is_up(desk: Desk) -> None:
    event = make_event(14)
    await desk.accept(event, desk.at(3))
    began = time.monotonic()
    view = await desk.status.wait_final("acme", event.key, 0.4)
    assert 0.4 <= time.monotonic() - began < 2
    assert states(view) == {"record": ("pending", 0)}
    with pytest.raises(NotFound):
        await desk.status.wait_final("acme", "unknown", 5)


async def test_a_long_poll_outlasts_a_rebuild(desk: Desk) -> None:
    event = make_event(15)
    await desk.accept(event, desk.at(3), ())
    await desk.passed(1, 4)
    epoch = desk.outside.getdel(desk.keys.epoch)
    waiting = asyncio.create_task(desk.status.wait_final("acme", event.key, 20))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    desk.outside.set(desk.keys.epoch, epoch)
    assert (await waiting).settled


async def test_a_thousand_long_polls_leave_redis_and_the_loop_free(desk: Desk) -> None:
    events = [make_event(n) for n in range(1000)]
    for n, event in enumerate(events):
        await desk.accept(event, desk.at(n))
    waiting = [asyncio.create_task(desk.status.wait_final("acme", event.key, 60)) for event in events]
    await asyncio.wait(waiting, timeout=3)
    before = int(desk.outside.info("commandstats")["cmdstat_hmget"]["calls"])
    cpu = time.process_time()
    await asyncio.wait(waiting, timeout=2)
    looks = int(desk.outside.info("commandstats")["cmdstat_hmget"]["calls"]) - before
    assert looks < 2 * 1000 * 8, "each waiter asks a few times a second"
    assert time.process_time() - cpu < 1.9, "and leaves the loop time for others"
    await desk.passed(1, 1000)
    views = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert all(view.settled for view in views)
