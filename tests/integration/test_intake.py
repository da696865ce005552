# SPDX-License-Identifier: Apache-2.0
"""What the intake promises, on real Kafka and Valkey that answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import redis
import uuid_utils

from bridge.domain.errors import BrokerUnavailable, Conflict, InvalidEvent, NotAllowed, TooLarge, TooManyRequests
from bridge.domain.ids import event_key
from bridge.domain.limits import RECORD_BYTES, Window
from bridge.domain.principal import Principal, Scope
from bridge.kafka.admin import ensure_topics
from bridge.redis.keys import Keys, read_known
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.doors import WRITER, Door, draft, headers, stored


@pytest.fixture
def settings(stack: StackOfTests) -> Settings:
    chosen = stack.settings()
    ensure_topics(chosen)
    return chosen


@pytest.fixture
async def door(settings: Settings) -> AsyncIterator[Door]:
    async with Door(settings) as opened:
        yield opened


@pytest.fixture
def outside(stack: StackOfTests) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis, decode_responses=True) as client:
        yield client


async def until(holds: Callable[[], object], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.005)


async def test_an_accepted_event_lies_in_kafka_as_it_was_sent(door: Door) -> None:
    data = b'{ "n":\t123456789012345678901234567890, "z": 1, "a": "\xc3\xa9" }'
    accepted = await door.intake.accept([draft("1", data, partitionkey="k", subject="s")], WRITER)
    (record,) = stored(door.settings)
    (receipt,) = accepted.receipts
    key = event_key("acme", "/shop", "1", "order.created", "application/json", data, "k")
    assert (receipt.key, receipt.correlation_id, receipt.type, receipt.duplicate) == (key, key, "order.created", False)
    assert record.value() == data
    assert record.key() == b"acme/k"
    assert record.timestamp()[1] == receipt.accepted_ms
    assert headers(record) == {
        "ce_specversion": "1.0",
        "ce_id": "1",
        "ce_source": "/shop",
        "ce_type": "order.created",
        "ce_partitionkey": "k",
        "ce_subject": "s",
        "ce_tenantid": "acme",
        "ce_eventkey": key,
        "ce_correlationid": key,
        "content-type": "application/json",
    }


async def test_a_born_event_is_known_by_its_own_id_and_keeps_the_chosen_correlation(door: Door) -> None:
    name = str(uuid_utils.uuid7())
    born = draft(name)._replace(born=True, correlation_id="mine | yours")
    (receipt,) = (await door.intake.accept([born], WRITER)).receipts
    assert (receipt.key, receipt.correlation_id) == (name, "mine | yours")
    (record,) = stored(door.settings)
    assert headers(record)["ce_correlationid"] == "mine | yours"


async def test_the_view_shows_the_event_at_once_and_its_position_soon(door: Door, outside: redis.Redis) -> None:
    door.processes = ("audit",)
    (receipt,) = (await door.intake.accept([draft("1")], WRITER)).receipts
    keys = Keys(door.settings.topic_prefix)
    where = keys.event("acme", receipt.key)
    assert outside.exists(where)
    await until(lambda: outside.hexists(where, "p"))
    (record,) = stored(door.settings)
    assert outside.hget(where, "p") == f"{record.partition()}:{record.offset()}"
    assert read_known(outside.get(keys.id("acme", "/shop", "1")).encode()).state == "d"
    assert len(outside.smembers(keys.correlation("acme", receipt.correlation_id))) == 2


async def test_writing_needs_its_scope(door: Door) -> None:
    with pytest.raises(NotAllowed):
        await door.intake.accept([draft("1")], Principal("acme", frozenset({Scope.STATUS_READ}), "reader"))
    assert stored(door.settings) == []


async def test_a_repetition_gets_an_equal_receipt_and_no_second_record(door: Door) -> None:
    (first,) = (await door.intake.accept([draft("1")._replace(correlation_id="first")], WRITER)).receipts
    (again,) = (await door.intake.accept([draft("1")._replace(correlation_id="second")], WRITER)).receipts
    assert again == first._replace(duplicate=True)
    assert len(stored(door.settings)) == 1


async def test_the_same_id_with_other_content_is_a_conflict(door: Door) -> None:
    await door.intake.accept([draft("1")], WRITER)
    for other in (draft("1", b"{}"), draft("1", type="order.changed"), draft("1", datacontenttype="text/plain")):
        with pytest.raises(Conflict):
            await door.intake.accept([other], WRITER)
    await door.intake.accept([draft("1", source="/other")], WRITER)
    assert len(stored(door.settings)) == 2


async def test_a_batch_gives_one_receipt_each_in_order(door: Door) -> None:
    await door.intake.accept([draft("7")], WRITER)
    receipts = (await door.intake.accept([draft(str(n)) for n in range(100)], WRITER)).receipts
    assert [r.duplicate for r in receipts] == [n == 7 for n in range(100)]
    by_id = {headers(m)["ce_id"]: headers(m)["ce_eventkey"] for m in stored(door.settings)}
    assert [by_id[str(n)] for n in range(100)] == [r.key for r in receipts]
    assert len(stored(door.settings)) == 100


async def test_a_batch_with_a_fault_writes_nothing(door: Door) -> None:
    await door.intake.accept([draft("8"), draft("9")], WRITER)
    with pytest.raises(Conflict, match="1, 2"):
        await door.intake.accept([draft("1"), draft("8", b"{}"), draft("9", b"[]")], WRITER)
    with pytest.raises(InvalidEvent) as caught:
        await door.intake.accept([draft("1"), draft("2"), draft("1"), draft("2", b"{}")], WRITER)
    assert [fault.pointer for fault in caught.value.faults] == ["/2/id", "/3/id"]
    assert len(stored(door.settings)) == 2


async def test_fifty_parallel_posts_make_one_record_and_fifty_equal_receipts(settings: Settings) -> None:
    async with Door(settings) as one, Door(settings) as other:
        posts = [(one, other)[n % 2].intake.accept([draft("1")], WRITER) for n in range(50)]
        receipts = [accepted.receipts[0] for accepted in await asyncio.gather(*posts)]
    assert len({receipt._replace(duplicate=False) for receipt in receipts}) == 1
    assert Counter(receipt.duplicate for receipt in receipts) == {False: 1, True: 49}
    assert len(stored(settings)) == 1


async def test_a_full_window_refuses_and_says_when_it_fits_again(door: Door) -> None:
    door.windows = (Window(3, 60), Window(100, 3600))
    accepted = await door.intake.accept([draft("1"), draft("2")], WRITER)
    assert [(q.name, q.limit, q.window_s, q.remaining) for q in accepted.quotas] == [("60s", 3, 60, 1), ("3600s", 100, 3600, 98)]
    with pytest.raises(TooManyRequests) as caught:
        await door.intake.accept([draft("3"), draft("4")], WRITER)
    assert caught.value.retry_after_s in (59, 60)
    assert [q.window_s for q in caught.value.violated] == [60]
    assert (await door.intake.accept([draft("3")], WRITER)).quotas[0].remaining == 0
    await door.intake.accept([draft("5")], replace(WRITER, tenant="zeta"))
    assert len(stored(door.settings)) == 4


async def test_a_batch_that_never_fits_is_told_so_and_counts_nowhere(door: Door) -> None:
    door.windows = (Window(100, 3600), Window(3, 60))
    with pytest.raises(InvalidEvent, match=r"has 4 events, and the tenant may send 3 in 60 s: send fewer at a time"):
        await door.intake.accept([draft(str(n)) for n in range(4)], WRITER)
    accepted = await door.intake.accept([draft(str(n)) for n in range(3)], WRITER)
    assert [q.remaining for q in accepted.quotas] == [97, 0]


async def test_a_repetition_counts_in_the_windows(door: Door) -> None:
    door.windows = (Window(2, 60),)
    await door.intake.accept([draft("1")], WRITER)
    await door.intake.accept([draft("1")], WRITER)
    with pytest.raises(TooManyRequests):
        await door.intake.accept([draft("1")], WRITER)


async def test_a_caller_who_leaves_leaves_the_event_on_its_way(door: Door, outside: redis.Redis) -> None:
    keys = Keys(door.settings.topic_prefix)
    post = asyncio.create_task(door.intake.accept([draft("1")], WRITER))
    await asyncio.sleep(0)
    post.cancel()
    with pytest.raises(asyncio.CancelledError):
        await post
    await until(lambda: (outside.get(keys.id("acme", "/shop", "1")) or "").startswith("d|"))
    assert len(stored(door.settings)) == 1
    (receipt,) = (await door.intake.accept([draft("1")], WRITER)).receipts
    assert receipt.duplicate


async def test_a_record_that_kafka_never_takes_is_refused_and_its_id_is_free(door: Door, outside: redis.Redis) -> None:
    with pytest.raises(TooLarge):
        await door.intake.accept([draft("1", b"x" * RECORD_BYTES)], WRITER)
    where = Keys(door.settings.topic_prefix).id("acme", "/shop", "1")
    await until(lambda: not outside.exists(where))
    await door.intake.accept([draft("1", b"small")], WRITER)


async def test_a_full_local_queue_refuses_at_once_and_frees_the_id(settings: Settings, outside: redis.Redis) -> None:
    keys = Keys(settings.topic_prefix)
    async with Door(settings, **{"queue.buffering.max.messages": 1, "linger.ms": 500}) as door:
        first = asyncio.create_task(door.intake.accept([draft("1")], WRITER))
        await until(lambda: door.producer.waiting() == 1)
        with pytest.raises(BrokerUnavailable):
            await door.intake.accept([draft("2")], WRITER)
        await until(lambda: not outside.exists(keys.id("acme", "/shop", "2")))
        assert not (await first).receipts[0].duplicate
    assert [headers(m)["ce_id"] for m in stored(settings)] == ["1"]
