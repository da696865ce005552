# SPDX-License-Identifier: Apache-2.0
"""How often a tenant may ask the Event Ingress dialect: exact, shared by all processes, and counted on without Redis."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import redis

from bridge.domain.errors import Quota, TooManyRequests, ViewUnavailable
from bridge.domain.limits import INGRESS_WINDOWS, Window
from bridge.ingress.throttle import Throttle
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import Script, script
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.valkey import OwnValkey

REQUESTS = 100_000
START_MS = 1_800_000_000_000
TOGETHER = 500
Said = tuple[int, tuple[tuple[int, int], ...]]
"""Seconds to wait (0: let in), and per window what remains and the seconds until its next place is free."""


class Clocked:
    """The product's throttle, whose script reads the time from a key instead of the server's clock."""

    def __init__(self, pipe: Pipe, settings: Settings, outside: redis.Redis, *, always: bool = True) -> None:
        product = script("throttle").source
        assert product.count(b"redis.call('TIME')") == 1
        clock = f"{settings.topic_prefix}:clock"
        source = product.replace(b"redis.call('TIME')", f"redis.call('LRANGE', '{clock}', 0, 1)".encode())
        self.throttle = Throttle(pipe, settings, "requests", always=always)
        self.throttle._script = Script("clocked-throttle", source, str(outside.script_load(source)).encode())
        self.prefix, self.outside, self._pipe, self._clock = settings.topic_prefix, outside, pipe, clock

    async def ask(self, now_ms: int, windows: Sequence[Window], amount: int = 1, tenant: str = "acme") -> Said:
        self._pipe.send(("DEL", self._clock))
        self._pipe.send(("RPUSH", self._clock, now_ms // 1000, now_ms % 1000 * 1000))
        try:
            return 0, _states(await self.throttle.count(tenant, windows, amount))
        except TooManyRequests as full:
            return full.retry_after_s, _states(full.violated)


def _states(quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
    return tuple((quota.remaining, quota.reset_s) for quota in quotas)


class Counter:
    """What the throttle must do, as plainly as it can be said: it keeps every request and counts."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows, self.logs = windows, [deque[int]() for _ in windows]

    def ask(self, now_ms: int) -> Said:
        states, full, wait_ms = [], [], 0
        for window, log in zip(self.windows, self.logs, strict=True):
            while log and log[0] <= now_ms - window.seconds * 1000:
                log.popleft()
            full.append(len(log) >= window.quota)
            log.append(now_ms)
            free_at = log[max(0, len(log) - window.quota)] + window.seconds * 1000
            states.append((max(0, window.quota - len(log)), -(-(free_at - now_ms) // 1000)))
            if len(log) >= window.quota:
                wait_ms = max(wait_ms, free_at - now_ms)
        if not any(full):
            return 0, tuple(states)
        return -(-wait_ms // 1000), tuple(state for state in states if state[0] < 1)


def sequence(seed: int) -> Iterator[int]:
    """Milliseconds until the next request: bursts, a steady trickle, and pauses after which the windows are empty again."""
    chance = random.Random(seed)
    while True:
        pace = chance.choice((0, 3, 400, 900, 2500, 30_000, 60_000))
        for _ in range(chance.randrange(1, 60)):
            yield chance.randrange(pace + 1)
        if chance.random() < 0.05:
            yield 3_700_000


@pytest.fixture
async def clocked(stack: StackOfTests) -> AsyncIterator[Clocked]:
    settings = stack.settings()
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    with redis.Redis.from_url(stack.redis, decode_responses=True) as outside:
        yield Clocked(pipe, settings, outside)
    await pipe.close()


@pytest.mark.timeout(300)
async def test_a_hundred_thousand_requests_are_counted_as_the_model_counts_them(clocked: Clocked) -> None:
    model, differences, refused, now_ms = Counter(INGRESS_WINDOWS), [], 0, START_MS
    gaps = sequence(11)
    for first in range(0, REQUESTS, TOGETHER):
        moments = []
        for _ in range(TOGETHER):
            now_ms += next(gaps)
            moments.append(now_ms)
        said = await asyncio.gather(*(clocked.ask(moment, INGRESS_WINDOWS) for moment in moments))
        for number, (moment, got) in enumerate(zip(moments, said, strict=True)):
            if got != (wanted := model.ask(moment)):
                differences.append((first + number, got, wanted))
            refused += got[0] > 0
    assert not differences, differences[:5]
    assert REQUESTS / 20 < refused < REQUESTS * 19 / 20, "the sequence must fill the windows, and let them empty again"


async def test_whoever_goes_on_asking_stays_out_and_whoever_waits_comes_in(clocked: Clocked) -> None:
    windows = (Window(2, 1), Window(5, 60))
    assert [(await clocked.ask(START_MS, windows))[0] for _ in range(3)] == [0, 0, 1]
    assert (await clocked.ask(START_MS + 999, windows))[0] == 1, "the refused one of before counts"
    assert (await clocked.ask(START_MS + 2000, windows))[0] == 0
    assert [(await clocked.ask(START_MS + 2100, windows))[0] for _ in range(30)][-1] == 60
    assert clocked.outside.llen(f"{clocked.prefix}:acme:requests:60") == 5, "a flood takes no memory"
    assert await clocked.ask(START_MS + 62_100, windows) == (0, ((1, 1), (4, 60)))


async def test_tenants_and_things_that_are_counted_share_nothing(clocked: Clocked) -> None:
    windows = (Window(1, 60),)
    assert (await clocked.ask(START_MS, windows))[0] == 0
    assert (await clocked.ask(START_MS, windows, tenant="zeta"))[0] == 0
    assert (await clocked.ask(START_MS, windows))[0] == 60
    other = Throttle(clocked._pipe, Settings(topic_prefix=clocked.prefix), "points", always=False)
    assert await other.count("acme", windows)


async def test_points_are_counted_where_they_fit_and_not_at_all_where_they_do_not(clocked: Clocked) -> None:
    clocked.throttle._always = False
    windows = (Window(50, 60), Window(100, 3600))
    assert await clocked.ask(START_MS, windows, 20) == (0, ((30, 60), (80, 3600)))
    assert await clocked.ask(START_MS + 1000, windows, 20) == (0, ((10, 59), (60, 3599)))
    assert await clocked.ask(START_MS + 2000, windows, 20) == (58, ((10, 58),))
    assert await clocked.ask(START_MS + 2000, windows, 10) == (0, ((0, 58), (50, 3598)))


async def test_new_limits_hold_at_once(clocked: Clocked) -> None:
    assert [(await clocked.ask(START_MS, (Window(9, 60),)))[0] for _ in range(4)] == [0] * 4
    assert (await clocked.ask(START_MS, (Window(3, 60),)))[0] == 60
    assert (await clocked.ask(START_MS + 60_000, (Window(3, 60),)))[0] == 0


async def test_without_redis_each_process_counts_for_itself(stack: StackOfTests, tmp_path: Path) -> None:
    own = OwnValkey(tmp_path).start()
    settings = stack.settings(redis=own.settings(timeout_ms=500), web_processes=2)
    strict = settings.model_copy(update={"redis": own.settings(timeout_ms=500, when_down="refuse")})
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    try:
        assert await pipe.wait_connected(5)
        throttle = Throttle(pipe, settings, "requests", always=True)
        windows = (Window(4, 60),)
        assert [quota.remaining for quota in await throttle.count("acme", windows)] == [3]
        own.kill()
        assert [(await throttle.count("acme", windows))[0].remaining for _ in range(2)] == [1, 0]
        with pytest.raises(TooManyRequests) as full:
            await throttle.count("acme", windows)
        assert 59 <= full.value.retry_after_s <= 60
        own.start()
        assert await pipe.wait_connected(5)
        await throttle.count("acme", windows)
        own.kill()
        assert (await throttle.count("acme", windows))[0].remaining == 1, "every outage begins with empty windows"
        with pytest.raises(ViewUnavailable):
            await Throttle(pipe, strict, "requests", always=True).count("acme", windows)
    finally:
        await pipe.close()
        own.kill()
