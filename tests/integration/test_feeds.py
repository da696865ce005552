# SPDX-License-Identifier: Apache-2.0
"""Feeds of notices: in order, in batches that come again until they are completed, and never twice at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import redis
from confluent_kafka import Producer

from bridge.domain.errors import BrokerUnavailable, Conflict, NotFound, Unavailable, ViewUnavailable
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import producing
from bridge.notifications import feeds, notice, reader
from bridge.notifications.feeds import Batch, Feeds
from bridge.notifications.notice import Notice, partition_of, written
from bridge.notifications.reader import Reader
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.topics import NOTIFICATIONS
from tests.conftest import StackOfTests
from tests.integration.deciders import decider

pytestmark = pytest.mark.timeout(120)


class Polling(NamedTuple):
    settings: Settings
    feeds: Feeds

    async def ids(self, source: str = "", tenant: str = "acme") -> list[str]:
        batch = await self.feeds.next(tenant, source)
        return [] if batch is None else [one.id for one in batch.notices]

    async def batch(self, source: str = "") -> Batch:
        batch = await self.feeds.next("acme", source)
        assert batch is not None
        return batch


@asynccontextmanager
async def _polling(settings: Settings) -> AsyncIterator[Polling]:
    loop = asyncio.get_running_loop()
    pipe, reading = Pipe(settings.redis, loop), Reader(settings)
    assert await pipe.wait_connected(10)
    async with decider(settings) as changes:
        yield Polling(settings, Feeds(settings, pipe, changes, reading))
    await asyncio.to_thread(reading.close)
    await pipe.close()


@pytest.fixture
async def polling(stack: StackOfTests) -> AsyncIterator[Polling]:
    settings = stack.settings(partitions=2)
    ensure_topics(settings)
    async with _polling(settings) as found:
        tell(settings, 0, tenant="nobody")
        async with asyncio.timeout(20):
            while not await settled(found):
                await asyncio.sleep(0.1)
        yield found


async def settled(polling: Polling) -> bool:
    """Say whether decisions can be made: the view is made when somebody asks for the first time."""
    try:
        await polling.feeds.discard("nobody", "")
    except ViewUnavailable:
        return False
    return True


async def completed(polling: Polling, batch: Batch) -> None:
    """Complete a batch; a server that has not heard of the batch before says so, and is asked again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await polling.feeds.complete("acme", "", batch.id)
            except NotFound:
                await asyncio.sleep(0.1)


def tell(settings: Settings, *numbers: int, tenant: str = "acme", type_: str = "eventingress:success", size: int = 2) -> None:
    producer = Producer(producing(settings, linger_ms=0))
    for number in numbers:
        payload = b'"%s"' % (b"x" * (size - 2))
        key, headers, value = written(Notice(f"{number}", tenant, type_, "/x", payload, number, "c", "e"))
        given: object = headers
        producer.produce(
            NOTIFICATIONS.name(settings),
            value,
            key,
            partition_of(tenant, settings.partitions),
            headers=given,  # type: ignore[arg-type]
        )
    assert producer.flush(10) == 0


def names(numbers: range) -> list[str]:
    return [str(number) for number in numbers]


async def test_batches_come_in_order_and_again_until_they_are_completed(
    polling: Polling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LEASE_MS", 300)
    assert await polling.ids() == [], "nothing is there"
    tell(polling.settings, *range(250))
    first = await polling.batch()
    assert ([one.id for one in first.notices], first.more) == (names(range(100)), True)
    assert await polling.ids() == [], "somebody has it"
    await asyncio.sleep(0.4)
    tell(polling.settings, 250)
    again = await polling.batch()
    assert again == first, "its holder did not complete it"
    await polling.feeds.complete("acme", "", first.id)
    second = await polling.batch()
    assert [one.id for one in second.notices] == names(range(100, 200))
    await polling.feeds.complete("acme", "", first.id)  # harmless
    await polling.feeds.complete("acme", "", second.id)
    third = await polling.batch()
    assert ([one.id for one in third.notices], third.more) == (names(range(200, 251)), False)
    await polling.feeds.complete("acme", "", third.id)
    assert await polling.ids() == []


async def test_pollers_at_once_never_get_the_same_batch(polling: Polling) -> None:
    tell(polling.settings, *range(300))
    given = await asyncio.gather(*(polling.feeds.next("acme", "") for _ in range(20)))
    (one,) = [batch for batch in given if batch is not None]
    await polling.feeds.complete("acme", "", one.id)
    given = await asyncio.gather(*(polling.feeds.next("acme", "") for _ in range(20)))
    (two,) = [batch for batch in given if batch is not None]
    assert not {n.id for n in one.notices} & {n.id for n in two.notices}


async def test_feeds_are_of_one_source_or_of_all_and_of_one_tenant(polling: Polling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LEASE_MS", 50)
    other = next(f"t{n}" for n in range(100) if partition_of(f"t{n}", 2) == partition_of("acme", 2))
    tell(polling.settings, 1, 2)
    tell(polling.settings, 3, type_="entitydata:created")
    tell(polling.settings, 4, tenant=other)
    assert await polling.ids("entitydata") == ["3"]
    assert await polling.ids("eventingress") == ["1", "2"]
    assert await polling.ids() == ["1", "2", "3"]
    assert await polling.ids(tenant=other) == ["4"]
    await polling.feeds.discard("acme", "")
    assert await polling.ids() == []
    await asyncio.sleep(0.1)
    assert await polling.ids("entitydata") == ["3"], "each feed is where it is"


async def test_no_notice_is_missed_where_a_stretch_of_others_lies_before_it(
    polling: Polling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "READ_S", 0.0)
    other = next(f"t{n}" for n in range(100) if partition_of(f"t{n}", 2) == partition_of("acme", 2))
    tell(polling.settings, *range(50), tenant=other)
    assert await polling.ids() == []
    monkeypatch.setattr(reader, "READ_S", 2.0)
    assert await polling.ids() == []
    tell(polling.settings, 77)
    assert await polling.ids() == ["77"]


async def test_large_notices_make_small_batches(polling: Polling) -> None:
    tell(polling.settings, *range(6), size=1_000_000)
    batch = await polling.batch()
    assert ([one.id for one in batch.notices], batch.more) == (names(range(4)), True)


@pytest.mark.parametrize("wrong", ["x", "00000000-0000-0000-0000-00000000ffff", "00000000-0000-ffff-0000-00000001ffff"])
async def test_what_is_no_batch_cannot_be_completed(polling: Polling, wrong: str) -> None:
    tell(polling.settings, 1)
    with pytest.raises(NotFound):
        await polling.feeds.complete("acme", "", wrong)
    assert await polling.ids() == ["1"]


async def test_what_was_completed_stays_completed_without_redis(polling: Polling) -> None:
    tell(polling.settings, *range(150))
    await polling.feeds.complete("acme", "", (await polling.batch()).id)
    with redis.Redis.from_url(polling.settings.redis.url.get_secret_value()) as client:
        for name in client.scan_iter(f"{polling.settings.topic_prefix}:*"):
            client.delete(name)
    assert await polling.ids() == names(range(100, 150))
    async with _polling(polling.settings) as afresh:
        with redis.Redis.from_url(polling.settings.redis.url.get_secret_value()) as client:
            for name in client.scan_iter(f"{polling.settings.topic_prefix}:acme:feed:*"):
                client.delete(name)
        assert await afresh.ids() == names(range(100, 150)), "another process knows it from Kafka"


async def test_a_completed_batch_does_not_come_again_from_a_server_that_has_not_heard_of_it(polling: Polling) -> None:
    tell(polling.settings, *range(600))
    seen: list[str] = []
    async with _polling(polling.settings) as other:
        async with asyncio.timeout(40):
            while len(seen) < 600:
                for one in (polling, other):
                    batch = await one.feeds.next("acme", "")
                    if batch is not None:
                        seen += [notice.id for notice in batch.notices]
                        await completed(one, batch)
    assert seen == names(range(600))


async def test_completing_again_takes_nobody_elses_lease(polling: Polling) -> None:
    tell(polling.settings, *range(250))
    first = await polling.batch()
    await polling.feeds.complete("acme", "", first.id)
    await polling.batch()
    await polling.feeds.complete("acme", "", first.id)
    assert await polling.ids() == [], "somebody has the second one"


async def test_a_tenant_polls_a_bounded_number_of_feeds(polling: Polling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST", 3)
    tell(polling.settings, 1)
    for number in range(3):
        await polling.feeds.discard("acme", f"feed{number}")
    with pytest.raises(Conflict):
        await polling.feeds.discard("acme", "feed3")
    await polling.feeds.discard("acme", "feed0")


async def test_one_tenants_polls_hold_up_neither_others_nor_threads(polling: Polling) -> None:
    other = next(f"t{n}" for n in range(100) if partition_of(f"t{n}", 2) != partition_of("acme", 2))
    tell(polling.settings, 1, tenant=other)
    tell(polling.settings, *range(1500), size=60_000)
    many = [asyncio.create_task(polling.feeds.next("acme", f"nofeed{n}")) for n in range(20)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await asyncio.to_thread(time.monotonic)
    assert time.monotonic() - began < 0.5, "the threads of others are free"
    assert await polling.ids(tenant=other) == ["1"]
    assert time.monotonic() - began < 5, "one read of the other tenant at most comes before"
    ended = await asyncio.gather(*many, return_exceptions=True)
    refused = [one for one in ended if isinstance(one, Unavailable)]
    assert 0 < len(refused) < 20
    assert all(isinstance(one, Unavailable) or one is None for one in ended)


async def test_an_unreadable_notice_is_passed(polling: Polling) -> None:
    producer = Producer(producing(polling.settings, linger_ms=0))
    producer.produce(NOTIFICATIONS.name(polling.settings), b"?", b"acme", partition_of("acme", 2))
    assert producer.flush(10) == 0
    tell(polling.settings, 5)
    assert await polling.ids() == ["5"]


async def test_a_frozen_kafka_is_said_and_gives_the_lease_back(
    stack: StackOfTests, polling: Polling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "ASK_S", 0.5)
    tell(polling.settings, 5)
    stack.kafka.freeze()
    try:
        with pytest.raises(BrokerUnavailable):
            await polling.feeds.discard("acme", "")
        assert await polling.ids() == [], "nothing can be read now"
    finally:
        stack.kafka.thaw()
    assert await polling.ids() == ["5"], "nobody kept it"


def test_ids_are_those_of_batches() -> None:
    assert feeds._range_of(feeds._named(7, 2**40)) == (7, 2**40)
    assert notice.STEPS
