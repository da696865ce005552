# SPDX-License-Identifier: Apache-2.0
"""
Give waiting executions back when they are due: from the tiers' topics to `bridge.redeliveries`, same partition number.

One per worker; all movers share a consumer group of their own. A partition whose head is not due is paused and read again from
that head, so it keeps its place in the group for hours and holds nobody up. Committed is only what Kafka has confirmed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from bridge import logs, metrics, redeliveries
from processors.ending import doubt
from processors.outbox import Outbox, Record

POLL_MS = 200
"""How late a due execution may be noticed."""

FETCH_WAIT_MS = 100
RECORDS = 500  # given back in one round; the next begins when Kafka has confirmed them
PARTITION_BYTES = 256 * 1024  # fetched ahead per partition; a larger record comes all the same

LOG = logs.get("processors.mover")


class Mover(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """`now_ms` is the wall clock; `connection` what aiokafka needs to reach the brokers."""

    def __init__(
        self,
        topics: Iterable[str],
        target: str,
        outbox: Outbox,
        *,
        group: str,
        slot: str,
        connection: Mapping[str, Any],
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._topics, self._target, self._outbox, self._now_ms = tuple(topics), target, outbox, now_ms
        self._waiting: dict[TopicPartition, int] = {}
        self._consumer = AIOKafkaConsumer(
            group_id=group,
            group_instance_id=slot,
            client_id="event-bridge-mover",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=PARTITION_BYTES,
            **connection,
        )

    async def run(self) -> None:
        """Give back what is due until cancelled. Whatever else ends it ends the worker."""
        self._consumer.subscribe(self._topics, listener=self)
        await self._consumer.start()
        try:
            while True:
                await self._round()
        finally:
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing to do: what is on its way is given back twice at worst, and the router drops the second."""

    async def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ARG002
        """Forget what waited: every partition begins again at its committed offset, and is not paused."""
        self._waiting.clear()

    async def _round(self) -> None:
        self._resume_due()
        found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS)
        giving = _Giving(self._outbox, self._target)
        offsets = {}
        for tp, records in found.items():
            if (end := self._give(tp, records, giving)) is not None:
                offsets[tp] = end
        await giving.done()
        if offsets:
            await self._commit(offsets)

    def _give(self, tp: TopicPartition, records: list[Any], giving: _Giving) -> int | None:
        """Give back what is due at the head of these records; returns the offset after it, None where nothing is due."""
        end = None
        for record in records:
            due = redeliveries.due_of(record.headers)
            if due > self._now_ms():
                self._waiting[tp] = due
                self._consumer.pause(tp)
                self._consumer.seek(tp, record.offset)
                break
            giving.send(record)
            end = record.offset + 1
        return end

    def _resume_due(self) -> None:
        now = self._now_ms()
        for tp in [tp for tp, due in self._waiting.items() if due <= now]:
            del self._waiting[tp]
            self._consumer.resume(tp)

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as err:
            LOG.info("A mover's commit came after a rebalance; the next owner gives the same executions back", error=str(err))


class _Giving:
    """One round's records on their way, and the moment when Kafka has them all."""

    def __init__(self, outbox: Outbox, target: str) -> None:
        self._outbox, self._target = outbox, target
        self._left = 0
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, record: Any) -> None:
        self._left += 1
        again = Record(self._target, record.key, record.value or b"", list(record.headers), record.partition)
        self._outbox.send(again, self._confirmed)

    def _confirmed(self, error: Any, _: Any) -> None:
        if error is not None:
            doubt("a due execution could not be given back", error=error.str())
        metrics.REDELIVERED.inc()
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)

    async def done(self) -> None:
        if self._left:
            await self._all
