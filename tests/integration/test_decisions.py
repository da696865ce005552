# SPDX-License-Identifier: Apache-2.0
"""Durable decisions on real Kafka and Valkey: of many who want to change one object, exactly one wins, and all readers agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import redis

from bridge.decisions.facts import Ref
from bridge.domain.errors import BridgeError
from bridge.domain.limits import Window
from bridge.registry.changes import Changes
from bridge.registry.session import changing, reading
from bridge.registry.tenants import change_tenant, create_tenant
from bridge.settings import Settings
from tests.conftest import StackOfTests

DECIDERS, EACH = 4, 25


async def _all_at_once(settings: Settings, attempts: int, *, version: int, flush: redis.Redis | None = None) -> Counter[str]:
    """Let every decider try `attempts` times at once to change the tenant from `version`, each to a quota of its own."""

    async def attempt(changes: Changes, quota: int) -> str:
        try:
            await change_tenant(changes, "acme", windows=[Window(quota, 1)], expected=version)
        except BridgeError as err:
            return type(err).__name__
        return f"won {quota}"

    async with AsyncExitStack() as stack:
        deciders = [await stack.enter_async_context(changing(settings)) for _ in range(DECIDERS)]
        jobs = [attempt(d, 1 + n * attempts + i) for n, d in enumerate(deciders) for i in range(attempts)]
        running = asyncio.gather(*jobs)
        if flush is not None:
            await asyncio.sleep(0)
            flush.flushall()
        return Counter(await running)


async def _make(settings: Settings) -> int:
    async with changing(settings) as changes:
        await create_tenant(changes, "acme", [Window(1000, 1)])
        return changes.registry.held(Ref("tenant", "acme", "")).version


def _quota(settings: Settings) -> int:
    with reading(settings) as registry:
        return registry.windows("acme")[0].quota


async def test_of_a_hundred_conflicting_changes_exactly_one_wins_and_readers_see_it(stack: StackOfTests) -> None:
    settings = stack.settings()
    version = await _make(settings)
    outcomes = await _all_at_once(settings, EACH, version=version)
    won = [text for text in outcomes if text.startswith("won")]
    assert len(won) == 1, outcomes
    assert set(outcomes) - set(won) <= {"Conflict", "ViewUnavailable", "BrokerUnavailable"}, outcomes
    assert await asyncio.to_thread(_quota, settings) == int(won[0].split()[1])


async def test_losing_redis_in_the_middle_makes_no_second_winner(stack: StackOfTests) -> None:
    settings = stack.settings()
    version = await _make(settings)
    outcomes = await _all_at_once(settings, EACH, version=version, flush=redis.Redis.from_url(stack.redis))
    won = [text for text in outcomes if text.startswith("won")]
    assert len(won) <= 1, outcomes
    first, second = await asyncio.to_thread(_quota, settings), await asyncio.to_thread(_quota, settings)
    assert first == second
    assert not won or first == int(won[0].split()[1]), (won, first)
