# SPDX-License-Identifier: Apache-2.0
"""What the intake promises while Kafka or Valkey is silent, dead, or back with an empty memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
import redis
import structlog

from bridge.domain.errors import BrokerUnavailable, TooManyRequests, Unavailable, ViewUnavailable
from bridge.domain.limits import ANSWER_S, Window
from bridge.domain.receipt import Receipt
from bridge.intake.stamping import stamp
from bridge.kafka.admin import ensure_topics
from bridge.redis.gate import Entrant
from bridge.redis.keys import Keys
from bridge.settings import Redis, Settings
from tests.conftest import StackOfTests
from tests.integration.doors import WIDE, WRITER, Door, draft, headers, stored
from tests.integration.test_intake import until

IN_TIME_S = ANSWER_S + 0.5  # the promise, and what a busy test machine may add


@pytest.fixture
def settings(stack: StackOfTests) -> Settings:
    chosen = stack.settings()
    ensure_topics(chosen)
    return chosen


@pytest.fixture
def outside(stack: StackOfTests) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis, decode_responses=True) as client:
        yield client


async def refused_in(door: Door, name: str) -> float:
    """Post an event that the broker will not confirm; say how long the refusal took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(BrokerUnavailable):
        await door.intake.accept([draft(name)], WRITER)
    return loop.time() - began


async def accepted_within(door: Door, name: str, timeout_s: float = 20) -> Receipt:
    """Post an event again and again, as a producer does after a 503."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                return (await door.intake.accept([draft(name)], WRITER)).receipts[0]
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_frozen_broker_means_503_in_time_and_never_a_receipt_without_a_record(
    stack: StackOfTests, settings: Settings
) -> None:
    async with Door(settings) as door:
        await door.intake.accept([draft("before")], WRITER)
        stack.kafka.freeze()
        first = asyncio.gather(*(refused_in(door, f"early-{n}") for n in range(20)))
        await until(lambda: door.producer.waiting() >= 20)
        await asyncio.sleep(1.1)
        late = sorted(await asyncio.gather(*(refused_in(door, f"late-{n}") for n in range(20))))
        assert late[-2] < 0.1, "all but the probe are refused at once"
        assert late[-1] < IN_TIME_S
        assert door.intake.broker_silent
        assert max(await first) < IN_TIME_S
        stack.kafka.thaw()
        again = [await accepted_within(door, f"early-{n}") for n in range(20)]
        assert not door.intake.broker_silent
    keys = Counter(headers(m)["ce_eventkey"] for m in stored(settings))
    assert all(keys[receipt.key] >= 1 for receipt in again)
    assert len([m for m in stored(settings) if headers(m)["ce_id"].startswith("early-")]) <= 40
    early = {headers(m)["ce_id"]: headers(m)["ce_eventkey"] for m in stored(settings) if headers(m)["ce_id"] != "before"}
    assert {early[f"early-{n}"] for n in range(20)} == {receipt.key for receipt in again}, "a retry is the same event"


async def test_what_a_frozen_broker_may_have_stored_is_looked_for_once_it_confirms_again(
    stack: StackOfTests, settings: Settings
) -> None:
    """The view was told that the event is not there, and it may be: so the view is declared lost once Kafka can be read again."""
    async with Door(settings) as door:
        await door.intake.accept([draft("before")], WRITER)
        stack.kafka.freeze()
        try:
            await refused_in(door, "unsure")
            await until(lambda: door.producer.waiting() == 0)
            assert door.guard.holes == 0, "look-ups go on while Kafka is away"
        finally:
            stack.kafka.thaw()
        await accepted_within(door, "after")
        assert door.guard.holes == 1


async def test_repetitions_of_an_event_in_flight_share_its_fate(stack: StackOfTests, settings: Settings) -> None:
    async with Door(settings) as door:
        await door.intake.accept([draft("before")], WRITER)
        stack.kafka.freeze()
        first = asyncio.create_task(door.intake.accept([draft("1")], WRITER))
        await until(lambda: door.producer.waiting() == 1)
        again = [asyncio.create_task(door.intake.accept([draft("1")], WRITER)) for _ in range(5)]
        await asyncio.sleep(0.3)
        assert not any(post.done() for post in (first, *again))
        stack.kafka.thaw()
        receipts = [(await post).receipts[0] for post in (first, *again)]
    assert [receipt.duplicate for receipt in receipts] == [False] + 5 * [True]
    assert len({(r.key, r.correlation_id, r.accepted_ms) for r in receipts}) == 1
    assert len(stored(settings)) == 2


async def test_the_reservation_of_a_dead_process_holds_its_id_for_the_pending_time(settings: Settings) -> None:
    async with Door(settings, pending_s=6) as door:
        dead = Entrant(stamp(draft("1"), "acme"), False, 1, ())
        reserved: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        door.intake._gate.ask("acme", WIDE, [dead], "dead", reserved.set_result)
        await reserved
        assert 4 < await refused_in(door, "1") < IN_TIME_S
        assert not (await accepted_within(door, "1")).duplicate
    assert len(stored(settings)) == 1


async def test_without_redis_intake_goes_on_and_the_view_is_declared_lost(
    stack: StackOfTests, settings: Settings, outside: redis.Redis
) -> None:
    epoch = Keys(settings.topic_prefix).epoch
    async with Door(settings) as door:
        outside.set(epoch, f"{door.pipe.run_id}:1")
        assert not (await door.intake.accept([draft("1")], WRITER)).receipts[0].duplicate
        assert door.intake.view_whole
        assert not door.intake.degraded
        stack.valkey.freeze()
        await door.intake.accept([draft("2")], WRITER)
        assert door.intake.degraded
        await until(lambda: door.guard.open)
        assert not await door.intake.close(0.2), "what Redis was not told is not settled"
        stack.valkey.thaw()
        await until(lambda: not door.intake.degraded)
        await until(lambda: not outside.exists(epoch))
        assert await door.intake.close(5)
    assert [headers(m)["ce_id"] for m in sorted(stored(settings), key=lambda m: m.timestamp()[1])] == ["1", "2"]


@pytest.mark.parametrize("processes", [{"web_processes": 3}, {"web_workers": 3}], ids=["told", "of-this-server"])
async def test_without_redis_each_process_limits_at_its_share(stack: StackOfTests, processes: dict[str, int]) -> None:
    settings = stack.settings(**processes)
    ensure_topics(settings)
    async with Door(settings) as door:
        door.windows = (Window(30, 60),)
        with structlog.testing.capture_logs() as said:
            stack.valkey.kill()
            await until(lambda: not door.pipe.connected)
            accepted = [await door.intake.accept([draft(str(n))], WRITER) for n in range(10)]
        assert [one["log_level"] for one in said if one["event"] == "intake goes on without Redis"] == ["warning"]
        assert [a.quotas[0].remaining for a in accepted] == list(range(9, -1, -1))
        with pytest.raises(TooManyRequests) as caught:
            await door.intake.accept([draft("11")], WRITER)
        assert caught.value.violated[0].limit == 10
        assert 50 < caught.value.retry_after_s <= 60
        stack.valkey.start()
        await until(lambda: not door.intake.degraded)
        assert (await door.intake.accept([draft("12")], WRITER)).quotas[0].remaining == 29
    assert len(stored(settings)) == 11


async def test_set_to_refuse_it_refuses_without_redis(stack: StackOfTests) -> None:
    settings = stack.settings(redis=Redis.model_validate({"url": stack.redis, "when_down": "refuse"}))
    ensure_topics(settings)
    async with Door(settings) as door:
        stack.valkey.kill()
        await until(lambda: not door.pipe.connected)
        with pytest.raises(ViewUnavailable):
            await door.intake.accept([draft("1")], WRITER)
        stack.valkey.start()
        await accepted_within(door, "1")
    assert len(stored(settings)) == 1


async def test_valkey_killed_under_load_costs_no_accepted_event(stack: StackOfTests, settings: Settings) -> None:
    receipts: list[Receipt] = []
    refused: list[Unavailable] = []
    stop = asyncio.Event()

    async def post(door: Door, caller: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                receipts.extend((await door.intake.accept([draft(f"{caller}-{number}")], WRITER)).receipts)
            except Unavailable as err:
                refused.append(err)

    async with Door(settings) as door:
        callers = [asyncio.create_task(post(door, caller)) for caller in range(16)]
        for _ in range(2):
            goal = len(receipts) + 300
            await until(lambda goal=goal: len(receipts) > goal, 20)
            stack.valkey.kill()
            goal = len(receipts) + 300
            await until(lambda goal=goal: len(receipts) > goal, 20)
            await asyncio.to_thread(stack.valkey.start)
            await until(lambda: not door.intake.degraded)
        stop.set()
        await asyncio.gather(*callers)
        assert door.guard.holes
    assert refused == [], "the broker was well all the time"
    records = Counter(headers(m)["ce_eventkey"] for m in stored(settings))
    assert records.keys() == {receipt.key for receipt in receipts}
    assert set(records.values()) == {1}, "without repetitions there are none in Kafka"


async def test_a_view_lost_under_an_event_in_flight_is_noticed(
    stack: StackOfTests, settings: Settings, outside: redis.Redis
) -> None:
    keys = Keys(settings.topic_prefix)
    async with Door(settings) as door:
        await door.intake.accept([draft("before")], WRITER)
        stack.kafka.freeze()
        post = asyncio.create_task(door.intake.accept([draft("1")], WRITER))
        await until(lambda: outside.exists(keys.id("acme", "/shop", "1")))
        outside.delete(*outside.scan_iter(f"{settings.topic_prefix}:*"))
        outside.set(keys.epoch, f"{door.pipe.run_id}:2")
        stack.kafka.thaw()
        await post
        await until(lambda: not outside.exists(keys.epoch))
