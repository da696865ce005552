# SPDX-License-Identifier: Apache-2.0
"""Whoever pauses in the middle of a claim, and whatever is lost meanwhile: there is one holder, and all agree who it is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import redis
from confluent_kafka import KafkaError

from bridge import topics
from bridge.claims.claims import Claims, Holder, Which
from bridge.claims.holds import ClaimChange, ClaimHolds
from bridge.claims.lists import Lists
from bridge.claims.log import ClaimLog
from bridge.claims.outputs import Outputs
from bridge.claims.state import State
from bridge.decisions import holds
from bridge.decisions.decide import Decisions
from bridge.domain.errors import BrokerUnavailable, Conflict, Unavailable
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.epoch import ViewGuard
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.view.keeper import ViewKeeper
from tests.conftest import StackOfTests
from tests.integration.buildable import Caller, make_pair
from tests.integration.deciders import POINTS, Halt, Point, straight_on
from tests.web_under_test import make_tenants, web_server

pytestmark = pytest.mark.timeout(120)
ONE, TWO = Holder("acme", "live", "0123456789ab", 60_000), Holder("acme", "live", "ba9876543210", 60_000)


class Halting(Decisions[ClaimChange]):
    """The real decisions, with a place to stop at between two steps."""

    def __init__(self, *args: Any, halt: Halt) -> None:
        super().__init__(*args)
        self._halt = halt

    async def _record(self, tentative: Any) -> None:
        await self._halt("begun")
        await super()._record(tentative)

    async def _read_back(self, tentative: Any, deadline: float) -> None:
        await self._halt("recorded")
        await super()._read_back(tentative, deadline)
        await self._halt("read")


class Deciding(NamedTuple):
    """What a web process decides about claims with."""

    claims: Claims
    lists: Lists


def _fatal(error: KafkaError) -> None:
    pytest.fail(str(error))


@asynccontextmanager
async def deciding(settings: Settings, halt: Halt = straight_on) -> AsyncIterator[Deciding]:
    """The parts of one web process that decide about claims; it keeps the view whole."""
    loop = asyncio.get_running_loop()
    pipe, log = Pipe(settings.redis, loop), ClaimLog(settings)
    producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
    log.start()
    keeping = asyncio.create_task(ViewKeeper(pipe, settings).run())
    try:
        assert await pipe.wait_connected(10)
        assert await asyncio.to_thread(log.wait_current, 20)
        lists = Lists(pipe, settings, ViewGuard(pipe, settings))
        decisions = Halting(settings, topics.CLAIMS, pipe, producer, ClaimHolds(pipe, settings), log.fate, halt=halt)
        yield Deciding(Claims(lists, decisions, Outputs(settings, producer, lists)), lists)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await producer.close(5)
        await pipe.close()
        await asyncio.to_thread(log.close)


class House(NamedTuple):
    """An installation with events that nobody has claimed yet."""

    settings: Settings
    events: list[Which]


@pytest.fixture(scope="module")
def house(stack: StackOfTests) -> House:
    """Emit the events over HTTP, as anybody would."""
    settings = stack.settings(partitions=2)
    ensure_topics(settings)
    make_tenants(settings, "acme")
    _, live = make_pair(settings, "acme", "shop")
    with web_server(stack, settings) as server:
        keys = [Caller(server, live).emit("race.started") for _ in range(20)]
    return House(settings, [Which(str(uuid.UUID(key)), "racer") for key in keys])


async def insist(one: Deciding, holder: Holder, which: Which) -> bool:
    """Claim, and again while nothing is promised; says whether that made us the holder."""
    for _ in range(300):
        try:
            await one.claims.begin(holder, which)
        except holds.Held:
            await asyncio.sleep(0.1)
        except Conflict:
            return False
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return True
    pytest.fail("nobody ever gets it")


async def holder_of(one: Deciding, which: Which) -> tuple[State, str]:
    found = await one.lists.find("acme", "live", which.event_key)
    claim, _ = found.claims[which.tx_key]
    return claim.state, claim.changes[-1].by


@pytest.mark.parametrize("lost", [False, True], ids=["its-hold-runs-out", "the-view-is-lost"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_claim_that_pauses_anywhere_makes_no_second_holder(
    house: House, monkeypatch: pytest.MonkeyPatch, point: Point, *, lost: bool
) -> None:
    """Whoever pauses is promised nothing; a fact of its own that was in Kafka before the loss counts, for everybody."""
    settings, which = house.settings, house.events.pop()
    outside = redis.Redis.from_url(settings.redis.url.get_secret_value())
    monkeypatch.setattr("bridge.claims.holds.HOLD_MS", 300)
    paused, go = asyncio.Event(), asyncio.Event()

    async def halt(at: Point) -> None:
        if at == point:
            paused.set()
            await go.wait()

    async with deciding(settings, halt) as slow, deciding(settings) as quick:
        late = asyncio.create_task(slow.claims.begin(ONE, which))
        await paused.wait()
        if lost:
            outside.flushall()
            await asyncio.sleep(0.1)
        won = await insist(quick, TWO, which)
        go.set()
        with pytest.raises(Unavailable):
            await late
        stands = (State.CREATED, TWO.credential if won else ONE.credential)
        assert won is (not lost or point == "begun"), "what was recorded counts only where the view was read anew from Kafka"
        for one in (quick, slow):
            assert await holder_of(one, which) == stands
        outside.flushall()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await holder_of(quick, which) == stands, "and so it is read from Kafka"
                    break
                except Unavailable:
                    await asyncio.sleep(0.1)


async def test_a_claim_that_kafka_does_not_take_is_offered_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, which = house.settings, house.events.pop()
    monkeypatch.setattr("bridge.claims.holds.HOLD_MS", 500)
    async with deciding(settings) as one:
        decisions: Any = one.claims._decisions
        produce = decisions._produce
        monkeypatch.setattr(decisions, "_produce", _refuse)
        with pytest.raises(BrokerUnavailable):
            await one.claims.begin(ONE, which)
        monkeypatch.setattr(decisions, "_produce", produce)
        assert await insist(one, TWO, which)


def _refuse(*_: Any) -> None:
    raise BufferError
