# SPDX-License-Identifier: Apache-2.0
"""The worker's part of the live view on a real Valkey: merging, batching, holes, and what is said again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as configure
from hypothesis import strategies as st

from bridge.domain.execution import Execution, Position, Status
from bridge.executions import decode, encode
from bridge.redis import operations
from bridge.redis.keys import BEGUN, BEGUN_OF_EVENT, Keys
from bridge.redis.pipe import Pipe
from bridge.redis.projection import Projection
from bridge.redis.scripts import script
from bridge.redis.takeover import GRACE_S
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.valkey import OwnValkey
from tests.integration.view_facts import make_event, make_execution, until

FOREVER = 4_000_000_000
AT = Position("events", 1, 5)


@dataclass
class View:
    """A projection at work, and a look at Redis from outside."""

    settings: Settings
    pipe: Pipe
    projection: Projection
    outside: redis.Redis
    keys: Keys

    def value(self, execution: Execution) -> str | None:
        found: str | None = self.outside.get(self.keys.execution(execution.tenant, execution.execution_id))
        return found

    def record(self, execution: Execution, offset: int) -> None:
        self.projection.recorded(execution.tenant, execution.execution_id, execution.correlation_id, offset, encode(execution))

    async def shows(self, execution: Execution, value: str) -> None:
        async def look() -> bool:
            return self.value(execution) == value

        await until(look)


@asynccontextmanager
async def at_work(settings: Settings, **bounds: int) -> AsyncIterator[View]:
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    projection = Projection(pipe, settings, **bounds)
    running = asyncio.create_task(projection.run())
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True) as outside:
        outside.set(Keys(settings.topic_prefix).epoch, f"{pipe.run_id}:1")
        yield View(settings, pipe, projection, outside, Keys(settings.topic_prefix))
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled(), running.exception()
    await pipe.close()


@pytest.fixture
async def view(stack: StackOfTests) -> AsyncIterator[View]:
    async with at_work(stack.settings()) as found:
        yield found


async def test_a_record_is_shown_under_its_execution_and_its_correlation_id(view: View) -> None:
    done = make_execution(make_event(1), AT)
    view.record(done, 12)
    await view.shows(done, f"12|{encode(done).decode()}")
    where = view.keys.correlation("acme", done.correlation_id)
    assert view.outside.smembers(where) == {f"x:{done.execution_id}"}
    week = view.settings.retention_hours * 3600
    assert week - 60 <= view.outside.ttl(where) <= week
    assert week - 60 <= view.outside.ttl(view.keys.execution("acme", done.execution_id)) <= week


async def test_an_older_record_never_replaces_a_newer_one(view: View) -> None:
    event = make_event(2)
    newer, older = make_execution(event, AT, attempt=2), make_execution(event, AT, Status.PENDING)
    view.record(newer, 30)
    view.record(older, 29)
    view.projection.passed(1, 6)

    async def passed() -> bool:
        return view.outside.hget(view.keys.passed, "1") == "6"

    await until(passed)
    assert view.value(newer) == f"30|{encode(newer).decode()}"


async def test_passed_never_goes_back_and_comes_after_what_it_covers(view: View) -> None:
    done = [make_execution(make_event(n), replace(AT, offset=n)) for n in range(1000)]
    for n, execution in enumerate(done):
        view.record(execution, n)
    view.projection.passed(1, 1000)

    async def passed() -> bool:
        return view.outside.hget(view.keys.passed, "1") == "1000"

    await until(passed)
    assert all(view.value(execution) for execution in done)
    view.projection.passed(1, 400)
    view.projection.passed(2, 7)

    async def also_the_next() -> bool:
        return view.outside.hget(view.keys.passed, "2") == "7"

    await until(also_the_next)
    assert view.outside.hget(view.keys.passed, "1") == "1000"


async def test_only_an_execution_that_takes_long_is_shown_in_progress(view: View) -> None:
    quick, slow = (make_execution(make_event(n), AT, Status.IN_PROGRESS) for n in (3, 4))
    described = []

    def describe(execution: Execution) -> Execution:
        described.append(execution.execution_id)
        return execution

    view.projection.started(quick.execution_id, lambda: describe(quick), of_event=False)
    view.projection.started(slow.execution_id, lambda: describe(slow), of_event=False)
    finished = replace(quick, status=Status.COMPLETED)
    view.record(finished, 1)
    await view.shows(slow, f"-1+|{encode(slow).decode()}")
    assert described == [slow.execution_id]
    assert view.value(quick) == f"1|{encode(finished).decode()}"


async def test_an_attempt_that_begins_again_is_shown_over_the_record_of_the_one_before(view: View) -> None:
    event = make_event(5)
    first = make_execution(event, AT, Status.PENDING, attempt=1)
    second = make_execution(event, AT, Status.IN_PROGRESS, attempt=2)
    view.record(first, 8)
    view.projection.started(second.execution_id, lambda: second, of_event=False)
    await view.shows(second, f"8+|{encode(second).decode()}")
    view.projection.started(first.execution_id, lambda: replace(first, status=Status.IN_PROGRESS), of_event=False)
    last = make_execution(event, AT, attempt=2)
    view.record(last, 9)
    await view.shows(last, f"9|{encode(last).decode()}")


async def test_an_emitted_event_is_found_by_its_key_its_id_and_its_correlation_id(view: View) -> None:
    event = make_event(6, correlation_id="the-cause", causationid="some-execution", hops="1")
    view.projection.emitted(event, 1_700_000_000_000, 3, 77)
    where = view.keys.event("acme", event.key)

    async def look() -> Any:
        return view.outside.hgetall(where)

    found = await until(look)
    assert found["p"] == "3:77"
    assert view.outside.get(view.keys.id("acme", "/test", "id-6")) == f"d|{event.key}|1700000000000|the-cause|"
    assert view.outside.smembers(view.keys.correlation("acme", "the-cause")) == {f"e:{event.key}"}


async def test_too_many_waiting_facts_are_dropped_and_the_view_is_declared_lost(tmp_path: Path, stack: StackOfTests) -> None:
    own = OwnValkey(tmp_path).start()
    try:
        settings = stack.settings(redis=own.settings())
        async with at_work(settings, capacity=50) as view:
            epoch = view.outside.get(view.keys.epoch)
            own.freeze()
            lost = [make_execution(make_event(n), AT) for n in range(200)]
            for n, execution in enumerate(lost):
                view.record(execution, n)
            view.projection.passed(1, 200)
            assert view.projection.waiting <= 50
            assert view.projection.holes > 0
            own.thaw()

            async def closed() -> bool:
                return view.outside.get(view.keys.epoch) is None

            assert epoch is not None
            await until(closed)
            assert view.outside.get(view.keys.holes) is not None
    finally:
        own.kill()


async def test_facts_wait_for_a_redis_that_is_away_for_a_moment(tmp_path: Path, stack: StackOfTests) -> None:
    own = OwnValkey(tmp_path).start()
    try:
        async with at_work(stack.settings(redis=own.settings(timeout_ms=200))) as view:
            epoch = view.outside.get(view.keys.epoch)
            own.freeze()
            done = make_execution(make_event(7), AT)
            view.record(done, 3)

            async def noticed() -> bool:
                return not view.pipe.connected

            await until(noticed)
            assert not await view.projection.flush(0.2), "a batch that is being written again and again is not written"
            own.thaw()
            await view.shows(done, f"3|{encode(done).decode()}")
            assert await view.projection.flush(5)
            assert view.outside.get(view.keys.epoch) == epoch, "a short absence is no reason to rebuild"
    finally:
        own.kill()


async def test_a_new_epoch_is_told_what_no_record_says(view: View) -> None:
    running = make_execution(make_event(8), AT, Status.IN_PROGRESS)
    view.projection.started(running.execution_id, lambda: running, of_event=False)
    view.projection.passed(2, 40)
    await view.shows(running, f"-1+|{encode(running).decode()}")
    view.outside.delete(*view.outside.keys(f"{view.keys.prefix}:*"))
    view.outside.set(view.keys.epoch, f"{view.pipe.run_id}:2")
    await view.shows(running, f"-1+|{encode(running).decode()}")
    assert view.outside.hget(view.keys.passed, "2") == "40"


@dataclass(frozen=True)
class Said:
    """One fact about one execution: a record at an offset, or an attempt's beginning (offset None)."""

    attempt: int
    offset: int | None


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """Records whose attempts never go back, beginnings of any attempt, in any order, some said twice."""
    attempts = sorted(draw(st.lists(st.integers(1, 4), max_size=4)))
    offsets = sorted(draw(st.lists(st.integers(0, 99), min_size=len(attempts), max_size=len(attempts), unique=True)))
    said = [Said(attempt, offset) for attempt, offset in zip(attempts, offsets, strict=True)]
    said += [Said(attempt, None) for attempt in draw(st.lists(st.integers(1, 5), max_size=3))]
    repeated = draw(st.lists(st.sampled_from(said), max_size=3)) if said else []
    return draw(st.permutations(said + repeated))


@configure(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_the_order_in_which_facts_come_does_not_matter(stack: StackOfTests, history: list[Said]) -> None:
    keys = Keys("it-merge")
    event = make_event(9)
    where = keys.execution("acme", make_execution(event, AT).execution_id)
    with redis.Redis.from_url(stack.redis, decode_responses=True) as outside:
        outside.delete(where)
        for said in history:
            outside.eval(script("project").source, 2, keys.epoch, keys.passed, *_operation(keys, event, said))
        assert outside.get(where) == _expected(event, history)


def _operation(keys: Keys, event: Any, said: Said) -> operations.Operation:
    execution = _execution(event, said)
    if said.offset is None:
        return operations.begun(keys, execution, encode(execution), FOREVER, of_event=said.attempt == 1)
    return operations.recorded(
        keys, "acme", execution.execution_id, execution.correlation_id, said.offset, encode(execution), FOREVER
    )


def _execution(event: Any, said: Said) -> Execution:
    status = Status.IN_PROGRESS if said.offset is None else Status.PENDING
    return make_execution(event, AT, status, said.attempt, data=f'"{{\\"attempt\\":9}} {said.offset}"')


def _expected(event: Any, history: list[Said]) -> str | None:
    """The rule in words: the record with the highest offset counts, unless a later attempt than that has begun."""
    records = [said for said in history if said.offset is not None]
    begun = max((said for said in history if said.offset is None), key=lambda said: said.attempt, default=None)
    last = max(records, key=lambda said: said.offset or 0, default=None)
    if begun is not None and (last is None or begun.attempt > last.attempt):
        mark = BEGUN_OF_EVENT if begun.attempt == 1 else BEGUN
        return f"{-1 if last is None else last.offset}{mark}|{encode(_execution(event, begun)).decode()}"
    return f"{last.offset}|{encode(_execution(event, last)).decode()}" if last else None


def test_an_execution_survives_its_json() -> None:
    execution = make_execution(make_event(10), AT)
    assert decode(encode(execution)) == execution


async def test_who_takes_over_what_was_committed_and_not_told_declares_the_view_lost(view: View) -> None:
    """Its former owner was killed before Redis had heard of it; nobody else would ever say it."""
    view.outside.hset(view.keys.passed, "1", "5")
    view.projection.begin(1, 9)
    view.projection.passed(1, 12)

    async def lost() -> bool:
        return view.outside.get(view.keys.epoch) is None

    await until(lost)
    assert view.outside.hget(view.keys.passed, "1") == "5" or view.projection.holes == 1, "first the hole, then how far we are"


async def test_who_takes_over_a_whole_view_goes_on_after_having_asked(view: View) -> None:
    view.outside.hset(view.keys.passed, mapping={"1": "9", "evb.redeliveries/1": "3"})
    view.projection.begin(1, 9)
    view.projection.begin("evb.redeliveries/1", 3)
    view.projection.begin("evb.surplus/1", 4)
    view.projection.passed(1, 12)
    await asyncio.sleep(GRACE_S / 3)
    assert view.outside.hget(view.keys.passed, "1") == "9", "the former owner's facts may be on their way"

    async def told() -> bool:
        return view.outside.hget(view.keys.passed, "1") == "12"

    await until(told)
    assert view.projection.holes == 0
    assert view.outside.get(view.keys.epoch) is not None


async def test_a_view_that_knows_nothing_of_committed_events_is_lost(view: View) -> None:
    view.projection.begin(3, 1)

    async def lost() -> bool:
        return view.outside.get(view.keys.epoch) is None

    await until(lost)
