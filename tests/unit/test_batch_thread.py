# SPDX-License-Identifier: Apache-2.0
"""The consumer's thread stops although a rebalance handler still asks it something; Faust's own would wait for ever."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.types import TP

from processors.stream import consumer_thread
from processors.stream.batches import BatchConsumer
from processors.stream.consumer_thread import BUSY_S, BUSY_WAIT_MS, QUIET_WAIT_MS, BatchThread, Leaving

SOON_S = 5.0


class Bare(BatchThread):
    """The thread without Kafka: its consumer is whatever the test says that it is."""

    def __post_init__(self) -> None: ...

    async def on_start(self) -> None: ...


async def nothing() -> str:
    return "done"


async def started(stop: Any) -> Bare:
    owner: Any = SimpleNamespace(transport=SimpleNamespace(app=None))
    thread = Bare(owner, loop=asyncio.get_running_loop())
    thread._consumer = SimpleNamespace(stop=stop)
    await thread.start()
    return thread


async def test_a_rebalance_handler_that_asks_a_stopping_thread_does_not_hold_it() -> None:
    loop = asyncio.get_running_loop()
    heard: list[Leaving] = []

    async def handler() -> None:
        try:
            await thread.call_thread(nothing)
        except Leaving as err:
            heard.append(err)

    async def stop() -> None:  # aiokafka's coordinator: it closes once the handler of the rebalance has returned
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(handler(), loop))

    thread = await started(stop)
    assert await thread.call_thread(nothing) == "done"
    await asyncio.wait_for(thread.stop(), SOON_S)
    assert heard
    with pytest.raises(Leaving):
        await asyncio.wait_for(thread.call_thread(nothing), SOON_S)


async def test_who_waits_when_the_thread_stops_is_let_go() -> None:
    async def stop() -> None: ...

    begun = threading.Event()

    async def for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    thread = await started(stop)
    waiting = asyncio.ensure_future(thread.call_thread(for_ever))
    assert await asyncio.to_thread(begun.wait, SOON_S)
    await asyncio.wait_for(thread.stop(), SOON_S)
    with pytest.raises(Leaving):
        await asyncio.wait_for(waiting, SOON_S)


async def test_a_join_that_the_stop_breaks_off_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def stop() -> None:
        raise KafkaError("unexpected error during coordination")

    thread = await started(stop)
    with caplog.at_level(logging.WARNING, "faust"):
        await asyncio.wait_for(thread.stop(), SOON_S)
    assert [record.getMessage() for record in caplog.records if "left while it joined" in record.getMessage()]


async def test_a_fetch_that_rests_while_no_broker_is_there_does_not_hold_the_stop() -> None:
    """aiokafka cancels it and waits for it; that it was cancelled must not count as the end of who waits."""
    fetcher: Fetcher = Fetcher.__new__(Fetcher)
    closed: list[str] = []

    async def close_connections() -> None:
        closed.append("connections")

    async def run() -> None:
        fetcher._closed, fetcher._fetch_waiters = False, set()
        fetcher._fetch_task = asyncio.create_task(asyncio.sleep(10 * SOON_S))
        fetcher._pending_tasks = {asyncio.create_task(asyncio.sleep(10 * SOON_S))}
        await asyncio.sleep(0)

    thread = await started(fetcher.close)
    thread._consumer._client = SimpleNamespace(close=close_connections)
    await thread.call_thread(run)
    await asyncio.wait_for(thread.stop(), SOON_S)
    assert closed == ["connections"]


async def test_fetches_are_short_while_records_come_and_long_in_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[object, object]] = [{}, {"some": "records"}, {}, {}]
    now, waits = [100.0], []

    async def fetched(*args: Any, **kwargs: Any) -> dict[object, object]:
        return found.pop(0)

    fetcher = SimpleNamespace(fetched_records=fetched, _closed=False, _subscriptions=SimpleNamespace(fetch_context=nullcontext))
    consumer = SimpleNamespace(_fetcher=fetcher, _closed=False)
    thread = await started(nothing)
    thread.consumer.flow_active = True
    monkeypatch.setattr(consumer_thread, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for later_s in (0.0, 0.0, BUSY_S / 2, BUSY_S):
        now[0] += later_s
        await thread._fetch_records(consumer, set())
        waits.append(fetcher._fetch_max_wait_ms)
    assert waits == [QUIET_WAIT_MS, BUSY_WAIT_MS, BUSY_WAIT_MS, QUIET_WAIT_MS]
    monkeypatch.undo()
    await asyncio.wait_for(thread.stop(), SOON_S)


class Lying:
    """One record that was fetched and not taken over: what aiokafka's results read."""

    next_fetch_offset = 1

    def __iter__(self) -> Iterator[str]:
        return iter(["record"])


def fetcher_with(lies: TopicPartition) -> Fetcher:
    """Aiokafka's own fetcher, without its connections: one partition has something, and nothing new will come."""
    fetcher: Fetcher = Fetcher.__new__(Fetcher)
    state = SimpleNamespace(paused=False, position=1, consumed_to=lambda _: None)
    assigned = SimpleNamespace(active=True, state_value=lambda _: state)
    fetcher._subscriptions = SimpleNamespace(
        reassignment_in_progress=False, is_assigned=lambda _: True, fetch_context=nullcontext
    )
    fetcher._records = {lies: FetchResult(lies, assignment=assigned, partition_records=Lying(), backoff=0)}
    fetcher._closed, fetcher._fetch_waiters, fetcher._wait_consume_future = False, set(), None
    return fetcher


async def test_a_fetch_that_waits_takes_what_lies_there_once_its_partition_may_be_read_again() -> None:
    """An agent under pressure had it left lying; without a word the fetch would sleep on, and so would all others."""
    lies, other = TP("events", 1), TP("surplus", 2)
    thread = await started(nothing)
    thread.consumer.flow_active = True
    thread._consumer._fetcher, thread._consumer._closed = fetcher_with(lies), False
    thread._consumer._fetcher._loop = thread.thread_loop
    owner: Any = BatchConsumer.__new__(BatchConsumer)
    owner._thread, owner._buffered_partitions = thread, {lies}
    owner._active_partitions = active = {other}
    fetching = asyncio.create_task(
        thread.call_thread(thread._fetch_records, thread._consumer, active, timeout=10 * SOON_S, max_records=9)
    )
    while not thread._consumer._fetcher._fetch_waiters:
        assert not fetching.done()
        await asyncio.sleep(0.01)
    owner.on_buffer_drop(lies)
    assert await asyncio.wait_for(fetching, SOON_S) == {lies: ["record"]}
    await asyncio.wait_for(thread.stop(), SOON_S)
    thread.thread_loop.close()
    thread.look_again()  # an agent that takes its last batch while the worker leaves


async def test_a_tables_partition_that_was_never_fetched_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    thread = await started(nothing)
    state = SimpleNamespace(timestamp=None, highwater=None, position=0)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    thread._consumer = SimpleNamespace(stop=nothing, _fetcher=SimpleNamespace(_subscriptions=subscriptions))
    thread.time_started, thread.tp_fetch_request_timeout_secs = 0.0, 300.0
    try:
        thread.verify_event_path(3600.0, TP("bridge.executions", 0))
        assert not caplog.records
    finally:
        await thread.stop()
