# SPDX-License-Identifier: Apache-2.0
"""Whoever pauses in the middle of a claim, and whatever is lost meanwhile: there is one holder, and all agree who it is."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psutil
import pytest
import redis

from bridge.claims.claims import Holder, Which
from bridge.claims.facts import Place
from bridge.claims.holds import ClaimHolds, Written
from bridge.claims.state import Change, Claim, State
from bridge.decisions import holds
from bridge.domain.errors import BrokerUnavailable, Conflict, TooLarge, Unavailable
from bridge.kafka.admin import client, ensure_topics
from bridge.redis.keys import Keys, list_member
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.topics import CLAIMS
from tests.conftest import StackOfTests
from tests.integration.buildable import Caller, make_pair
from tests.integration.claiming import ONE, TWO, Deciding, deciding
from tests.integration.deciders import POINTS, Point
from tests.web_under_test import Server, free_port, make_tenants, until, web_server
from web.startup import close_services, open_services

pytestmark = pytest.mark.timeout(120)
STOPPED_S = 20.0  # a tentative claim is held for 10


class House(NamedTuple):
    """An installation with events that nobody has claimed yet."""

    settings: Settings
    events: list[Which]


@pytest.fixture(scope="module")
def house(stack: StackOfTests) -> House:
    """Emit the events over HTTP, as anybody would."""
    settings = stack.settings(port=free_port(), partitions=2)
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


async def test_a_claim_that_kafka_does_not_take_is_offered_again(stack: StackOfTests, house: House) -> None:
    """Nothing is promised while Kafka is away; what it takes after all is superseded by whoever claims next."""
    which = house.events.pop()
    async with deciding(house.settings) as one:
        stack.kafka.freeze()
        try:
            with pytest.raises(BrokerUnavailable):
                await one.claims.begin(ONE, which)
        finally:
            stack.kafka.thaw()
        assert await insist(one, TWO, which)
        assert await holder_of(one, which) == (State.CREATED, TWO.credential)


async def test_an_output_that_kafka_refuses_keeps_its_holder_from_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, which = house.settings, house.events.pop()

    async def refuse(*_: Any) -> None:
        raise TooLarge(1)

    async with deciding(settings) as one:
        assert await insist(one, ONE, which)
        with monkeypatch.context() as patch:
            patch.setattr(one.claims._publisher, "publish", refuse)
            with pytest.raises(TooLarge):
                await one.claims.advance(ONE, which, State.FINISHED, "much too large")
        await one.claims.advance(ONE, which, State.FINISHED, "small")
        assert await holder_of(one, which) == (State.FINISHED, ONE.credential)


async def test_an_event_is_claimed_under_a_bounded_number_of_keys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.claims.claims.MOST", 2)
    which = house.events.pop()
    async with deciding(house.settings) as one:
        for tx_key in ("a", "b"):
            assert await insist(one, ONE, Which(which.event_key, tx_key))
        with pytest.raises(Conflict, match="under 2 keys already"):
            await one.claims.begin(ONE, Which(which.event_key, "c"))


async def test_what_is_forgotten_leaves_the_lists(house: House) -> None:
    settings, outside = house.settings, redis.Redis.from_url(house.settings.redis.url.get_secret_value())
    outside.set("guard", "mine")
    pipe, now_ms, day_ms = Pipe(settings.redis, asyncio.get_running_loop()), int(time.time() * 1000), 86_400_000
    holds, claim = ClaimHolds(pipe, settings), Claim((Change(State.CREATED, now_ms, ONE.credential),), now_ms + 60_000)
    assert await pipe.wait_connected(10)
    places = [Place("acme", "live", "custom.shop.old", str(uuid.uuid4()), now_ms - n * day_ms, "t") for n in (6, 8, 0)]
    for place in places:
        assert await holds.write("guard", "mine", [Written(place, claim, 1)])
    listed = Keys(settings.topic_prefix).listed("acme", "live", "custom.shop.old", "created", "t")
    assert outside.zrange(listed, 0, -1) == [list_member(places[0].event_key), list_member(places[2].event_key)]
    assert not await holds.write("guard", "another's", [Written(places[0], claim, 2)])
    await pipe.close()


async def test_a_process_that_is_stopped_in_the_middle_makes_no_second_holder(stack: StackOfTests, house: House) -> None:
    """It sleeps for longer than its claim is held for it, Redis is emptied and read anew meanwhile, and another one claims."""
    settings, which = house.settings, house.events.pop()
    environ = {n: v for n, v in os.environ.items() if not n.startswith("EVB_")} | stack.environ(settings)
    command = [sys.executable, "-m", "tests.integration.claim_child", which.event_key, which.tx_key]
    stopped = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    try:
        began = time.monotonic()
        while psutil.Process(stopped.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < began + 30
            await asyncio.sleep(0.05)
        slept = time.monotonic()
        redis.Redis.from_url(settings.redis.url.get_secret_value()).flushall()
        async with deciding(settings) as quick:
            assert await insist(quick, TWO, which)
            await asyncio.sleep(max(0.0, slept + STOPPED_S - time.monotonic()))
            stopped.send_signal(signal.SIGCONT)
            assert stopped.stdout is not None
            told = await asyncio.wait_for(stopped.stdout.read(), 30)
            assert told.split()[-1] == b"Unavailable", "it is promised nothing"
            assert await holder_of(quick, which) == (State.CREATED, TWO.credential)
    finally:
        with contextlib.suppress(ProcessLookupError):
            stopped.kill()
        await stopped.wait()


def test_a_web_server_that_is_stopped_in_the_middle_makes_no_second_holder(stack: StackOfTests) -> None:
    """Kafka stands still, so that its claim is just being recorded; then it is stopped, and Redis is emptied."""
    settings = stack.settings(port=free_port(), partitions=2)
    ensure_topics(settings)
    make_tenants(settings, "acme")
    _, live = make_pair(settings, "acme", "shop")
    outside, keys = redis.Redis.from_url(stack.redis), Keys(settings.topic_prefix)
    with web_server(stack, settings) as one, web_server(stack, settings.model_copy(update={"port": free_port()})) as two:
        key, other = Caller(one, live).emit("race.started"), Caller(two, live)
        with ThreadPoolExecutor(1) as pool:
            stack.kafka.freeze()
            try:
                late = pool.submit(claimed, one, live, key)
                until(lambda: outside.exists(keys.claiming("acme", str(uuid.UUID(key)), "racer")))
                os.killpg(one.process.pid, signal.SIGSTOP)
                slept = time.monotonic()
                outside.flushall()
            finally:
                stack.kafka.thaw()
            answers: list[int] = []
            until(lambda: answers.append(other.ask("init", key=key, txKey="racer").status) or answers[-1] != 503, 60)
            time.sleep(max(0.0, slept + STOPPED_S - time.monotonic()))
            os.killpg(one.process.pid, signal.SIGCONT)
            # the record was on its way already, and is its claim; or it was not, and is promised nothing any more
            assert (answers[-1], late.result(60)) in ((409, 200), (409, 503), (200, 409), (200, 503))
        for caller in (Caller(one, live), other):
            assert caller.ask("init", key=key, txKey="racer").status == 409
            (row,) = caller.query("race.started", "racer", txState="created")["rows"]
            assert len(row["history"]) == 1


def claimed(server: Server, secret: str, key: str) -> int:
    """Claim with all the patience of the world; gives the status."""
    connection = http.client.HTTPConnection("127.0.0.1", server.settings.port, timeout=90)
    headers = {"x-buildable-secret": secret, "content-type": "application/json"}
    connection.request("POST", "/init", json.dumps({"key": key, "txKey": "racer"}).encode(), headers)
    status = connection.getresponse().status
    connection.close()
    return status


async def test_a_server_starts_once_it_follows_the_claims(stack: StackOfTests) -> None:
    """A claim that is recorded before could not be read back: its caller would wait for an answer, and get none."""
    settings = stack.settings()
    ensure_topics(settings)
    admin, name = client(settings), CLAIMS.name(settings)
    admin.delete_topics([name])[name].result(20)
    until(lambda: name not in admin.list_topics(timeout=10).topics)
    opening = asyncio.create_task(open_services(settings, asyncio.get_running_loop()))
    done, _ = await asyncio.wait([opening], timeout=3)
    assert not done
    await asyncio.to_thread(ensure_topics, settings)
    await close_services(await asyncio.wait_for(opening, 30), 5)
