# SPDX-License-Identifier: Apache-2.0
"""Durable decisions on real Kafka and Valkey: of many who want to change one object, exactly one wins, and all readers agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import redis
from confluent_kafka import Message

from bridge.decisions import holds
from bridge.domain.errors import BridgeError, Conflict, Unavailable, ViewUnavailable
from bridge.kafka import epochs
from bridge.kafka.admin import ensure_topics
from bridge.kafka.epochs import begin_epoch
from bridge.kafka.scan import Scan
from bridge.redis.keys import Keys
from bridge.registry.changes import Changes
from bridge.registry.session import changing
from bridge.settings import Redis, Settings
from tests.conftest import StackOfTests
from tests.integration.deciders import ACME, POINTS, Point, change, decider, make_acme, quota_of, too_late
from tests.integration.view_facts import until

DECIDERS, EACH = 4, 25


async def _all_at_once(settings: Settings, attempts: int, *, version: int, flush: redis.Redis | None = None) -> Counter[str]:
    """Let every decider try `attempts` times at once to change the tenant from `version`, each to a quota of its own."""

    async def attempt(changes: Changes, quota: int) -> str:
        try:
            await change(changes, quota, version)
        except BridgeError as err:
            return "Conflict" if isinstance(err, Conflict) else type(err).__name__
        return f"won {quota}"

    async with AsyncExitStack() as stack:
        deciders = [await stack.enter_async_context(changing(settings)) for _ in range(DECIDERS)]
        jobs = [attempt(d, 1 + n * attempts + i) for n, d in enumerate(deciders) for i in range(attempts)]
        running = asyncio.gather(*jobs)
        if flush is not None:
            await asyncio.sleep(0)
            flush.flushall()
        return Counter(await running)


async def _insist(changes: Changes, quota: int, expected: int) -> bool:
    """Try until it is won, or until it is too late: somebody's change counts; says which."""
    while True:
        try:
            await change(changes, quota, expected)
        except (Conflict, Unavailable) as err:
            if too_late(err):
                return False
            await asyncio.sleep(0.05)
        else:
            return True


async def test_of_a_hundred_conflicting_changes_exactly_one_wins_and_readers_see_it(stack: StackOfTests) -> None:
    settings = stack.settings()
    version = await make_acme(settings, 1000)
    outcomes = await _all_at_once(settings, EACH, version=version)
    won = [text for text in outcomes if text.startswith("won")]
    assert len(won) == 1, outcomes
    assert set(outcomes) - set(won) <= {"Conflict", "ViewUnavailable", "BrokerUnavailable"}, outcomes
    assert await asyncio.to_thread(quota_of, settings) == int(won[0].split()[1])
    assert set(await _all_at_once(settings, 1, version=version)) == {"Conflict"}, "that version is history for whoever comes late"


async def test_losing_redis_in_the_middle_makes_no_second_winner(stack: StackOfTests) -> None:
    settings = stack.settings()
    version = await make_acme(settings, 1000)
    outcomes = await _all_at_once(settings, EACH, version=version, flush=redis.Redis.from_url(stack.redis))
    won = [text for text in outcomes if text.startswith("won")]
    assert len(won) <= 1, outcomes
    first, second = await asyncio.to_thread(quota_of, settings), await asyncio.to_thread(quota_of, settings)
    assert first == second
    assert not won or first == int(won[0].split()[1]), (won, first)


@pytest.mark.parametrize("lost", [False, True], ids=["its-hold-runs-out", "the-view-is-lost"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_decider_that_pauses_anywhere_is_promised_nothing(
    stack: StackOfTests, monkeypatch: pytest.MonkeyPatch, point: Point, *, lost: bool
) -> None:
    """Its fact counts if it was in Kafka by then, for everybody; else the other's does. Nobody has to be asked twice."""
    monkeypatch.setattr(holds, "HOLD_MS", 300)
    settings = stack.settings(redis=Redis(url=stack.redis, timeout_ms=2000))
    paused, go = asyncio.Event(), asyncio.Event()

    async def halt(at: Point) -> None:
        if at == point:
            paused.set()
            await go.wait()

    version, outside = await make_acme(settings, 1), redis.Redis.from_url(stack.redis)
    async with decider(settings, halt) as slow, decider(settings) as quick:
        late = asyncio.create_task(change(slow, 2, version))
        await paused.wait()
        if point != "begun":  # the hold here is short: who has not read the fact when it runs out may still take its place
            await until(lambda: _shows(quick.registry.windows("acme")[0].quota, 2))
        if lost:
            outside.flushall()
        assert await _insist(quick, 3, version) is (point == "begun")
        epoch = outside.get(Keys(settings.topic_prefix).epoch)
        go.set()
        with pytest.raises(Unavailable):
            await late
        assert outside.get(Keys(settings.topic_prefix).epoch) == epoch, "the others' view is none of its business"
        stands = 3 if point == "begun" else 2
        for changes in (slow, quick):
            await until(lambda registry=changes.registry: _shows(registry.windows("acme")[0].quota, stands))
        assert await asyncio.to_thread(quota_of, settings) == stands
        assert await _insist(quick, 4, quick.registry.held(ACME).version), "and the next change goes on from there"


async def _shows(quota: int, wanted: int) -> bool:
    return quota == wanted


async def test_a_marker_of_a_rebuild_that_lost_its_right_costs_a_rebuild_and_no_change(stack: StackOfTests) -> None:
    settings = stack.settings(redis=Redis(url=stack.redis, timeout_ms=2000))
    version = await make_acme(settings, 1)
    await asyncio.to_thread(begin_epoch, settings)  # and then it sleeps, and another process opens an older epoch
    async with decider(settings) as changes:
        with pytest.raises(ViewUnavailable):
            await change(changes, 2, version)
        assert changes.registry.held(ACME).version == version, "what was refused is void"
        assert await _insist(changes, 3, version)
    assert await asyncio.to_thread(quota_of, settings) == 3


def test_two_rebuilds_that_overlap_leave_two_markers(stack: StackOfTests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one key compaction would keep the later one, and what lies between them, void by the first, would count."""
    settings = stack.settings()
    ensure_topics(settings)
    monkeypatch.setattr(epochs, "highest_epoch", lambda _: 4)  # neither sees the other's
    assert [begin_epoch(settings), begin_epoch(settings)] == [5, 5]
    with Scan(settings, epochs.DECIDED) as scan:
        found: list[Message] = []
        while not scan.done:
            found += scan.read(100, 0.5)
    keys = [(message.topic(), message.partition(), message.key()) for message in found]
    assert len(set(keys)) == len(keys) == 2 * settings.partitions * len(epochs.DECIDED)
