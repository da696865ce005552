# SPDX-License-Identifier: Apache-2.0
"""Pages of what is not claimed, against a model that filters and slices; and what keeps a page small."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from bridge.claims.facts import Place
from bridge.claims.restore import check
from bridge.claims.rows import listed as listed_as
from bridge.claims.rows import read, row_of
from bridge.claims.state import Change, Claim, State
from bridge.domain.errors import ViewUnavailable
from bridge.domain.event import Event
from bridge.redis.keys import Keys, list_member
from bridge.redis.pipe import Pipe
from bridge.redis.reading import BATCH_BYTES, PAGE_BYTES, batches, entries, scripted
from bridge.redis.scripts import script
from tests.conftest import StackOfTests

SETS = ("all", "created", "processing", "finished", "failed")


@pytest.fixture
async def pipe(stack: StackOfTests) -> AsyncIterator[Pipe]:
    found = Pipe(stack.settings().redis, asyncio.get_running_loop())
    assert await found.wait_connected(10)
    yield found
    await found.close()


@pytest.mark.parametrize("seed", range(12))
async def test_pages_of_what_is_not_claimed_are_those_of_a_model(pipe: Pipe, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"model-{seed}-{chance.random()}:{name}" for name in SETS]
    spread = chance.choice([5, 300, 3000])  # few moments: many events in the same millisecond
    events = sorted((1000 + chance.randrange(spread), chance.randbytes(16)) for _ in range(700))
    share, offered = chance.choice([0.02, 0.5, 0.98]), []
    for at, (moment, one) in enumerate(events):
        await pipe.call("ZADD", names[0], moment, one)
        if chance.random() < share or 200 < at < 400:  # and a long stretch in which everything is claimed
            await pipe.call("ZADD", chance.choice(names[1:]), moment, one)
        else:
            offered.append((moment, one))
    for _ in range(60):
        since = chance.choice([0, 1000, 1000 + chance.randrange(spread), 1000 + spread])
        fits = [one for moment, one in offered if moment >= since]
        size, skip = chance.choice([1, 10, 100]), chance.randrange(len(fits) + 3)
        total, *found = await pipe.script(script("list_page"), names, (since, skip, size))
        assert (total, found) == (len(fits), fits[skip : skip + size])


async def test_one_event_behind_many_that_are_claimed_costs_a_search(pipe: Pipe) -> None:
    """Else a poll would look at every event that was ever claimed."""
    names = [f"behind:{name}" for name in SETS]
    for start in range(0, 20_000, 500):
        flat = [one for n in range(start, start + 500) for one in (n, n.to_bytes(16, "big"))]
        await pipe.call("ZADD", names[0], *flat)
        await pipe.call("ZADD", names[3], *flat)
    await pipe.call("ZADD", names[0], 10_000, b"\xff" * 16)
    await pipe.call("CONFIG", "RESETSTAT")
    assert await pipe.script(script("list_page"), names, (0, 0, 100)) == [1, b"\xff" * 16]
    calls = (await pipe.call("INFO", "commandstats")).decode().split("cmdstat_zmscore:calls=")[1]
    assert int(calls.split(",")[0]) <= 8


async def test_an_event_that_is_stored_again_keeps_its_place(pipe: Pipe) -> None:
    """Its claims know it as it was first: moved, it would be offered though it is finished."""
    keys, key = Keys("again"), "01234567-89ab-7def-8123-456789abcdef"
    given = {"type": "t", "environment": "live", "platform": "p", "label": "l", "tenantid": "acme", "eventkey": key}
    now_ms = int(time.time() * 1000)
    for created_ms in (now_ms, now_ms + 500):
        event = Event(given, b"{}")
        row = row_of(event, created_ms)
        assert row is not None
        await pipe.script(script("project"), (keys.epoch, keys.passed), listed_as(keys, event, row, 3600))
    assert int(await pipe.call("ZSCORE", keys.list("acme", "live", "p.l.t"), list_member(key))) == now_ms
    kept, _ = read(await pipe.call("HGET", keys.event("acme", key), "b"))
    assert kept.created_ms == now_ms


def test_names_that_hold_separators_share_no_key() -> None:
    keys = Keys("p")
    found = {
        keys.list("t", "live", "custom.shop.order:created:w1"),
        keys.list("t", "live:custom.shop.order", "created:w1"),
        keys.listed("t", "live", "custom.shop.order", "created", "w1"),
        keys.listed("t", "live", "a", "created", "x:created:y"),
        keys.listed("t", "live", "a:created:x", "created", "y"),
    }
    assert len(found) == 5


@pytest.mark.parametrize(
    ("change", "data", "listed"),
    [
        ({}, b"{}", True),
        ({}, b"\xff", False),
        ({"environment": "live:x"}, b"{}", False),
        ({"label": ""}, b"{}", False),
        ({"eventkey": "k"}, b"{}", False),
    ],
)
def test_what_cannot_be_shown_is_in_no_list(change: dict[str, str], data: bytes, *, listed: bool) -> None:
    given = {"type": "t", "environment": "live", "platform": "custom", "label": "l", "tenantid": "acme"}
    given |= {"eventkey": "01234567-89ab-7def-8123-456789abcdef"} | change
    assert (row_of(Event(given, data), 1) is not None) is listed


def test_large_values_are_read_a_few_at_a_time_and_a_page_ends() -> None:
    large = BATCH_BYTES - 1
    assert list(batches([])) == []
    assert list(batches([1, 2, 3])) == [(0, 3)]
    assert list(batches([large, large, 5])) == [(0, 1), (1, 2), (2, 3)]
    assert list(batches([2 * PAGE_BYTES, 1])) == [(0, 1)], "the first one is always shown"
    assert list(batches([large] * 100))[-1][1] == PAGE_BYTES // large


@pytest.mark.parametrize(
    ("claim", "key"),
    [
        (Claim(()), "01234567-89ab-7def-8123-456789abcdef"),
        (Claim((Change(State.CREATED, 1, "x"),)), "01234567-89ab-7def-8123-456789abcdef"),
        (Claim((Change(State.CREATED, 2**80, "0123456789ab"),)), "01234567-89ab-7def-8123-456789abcdef"),
        (Claim((Change(State.CREATED, 1, "0123456789ab"),)), "no key"),
    ],
)
def test_a_record_that_cannot_be_kept_is_noticed_before_it_is_written(claim: Claim, key: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        check(claim, Place("acme", "live", "n", key, 1, "t"), 1)


async def test_a_page_of_a_view_that_is_being_made_is_none(pipe: Pipe) -> None:
    keys, asked = Keys("half-made"), (["half-made:all"], (0, 0, 10))
    with pytest.raises(ViewUnavailable):
        await scripted(pipe, keys, script("list_page"), *asked)
    await pipe.call("SET", keys.epoch, f"{pipe.run_id}:1")
    assert await scripted(pipe, keys, script("list_page"), *asked) == [0]


@pytest.mark.parametrize("field", ["i", "c"])
async def test_large_entries_are_read_one_tenant_after_another(pipe: Pipe, field: str) -> None:
    """Whichever of their fields makes them large."""
    keys, names = Keys("large"), [f"large:{field}:{n}" for n in range(3)]
    await pipe.call("SET", keys.epoch, f"{pipe.run_id}:1")
    for name in names:
        await pipe.call("HSET", name, "i", b"x", "c", b"y")
    turn = asyncio.Lock()
    async with turn:
        small = await asyncio.wait_for(entries(pipe, keys, names, ("i", "c"), turn), 10)
        await pipe.call("HSET", names[0], field, bytes(BATCH_BYTES))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(entries(pipe, keys, names, ("i", "c"), turn), 0.3)
    assert small == [[b"x", b"y"]] * 3
    assert [len(one[0] or b"") + len(one[1] or b"") for one in await entries(pipe, keys, names, ("i", "c"), turn)] == [
        BATCH_BYTES + 1,
        2,
        2,
    ]
