# SPDX-License-Identifier: Apache-2.0
"""
Give waiting executions back: from the topics they wait in to `bridge.redeliveries`, same partition number.

One per worker; all movers share a consumer group of their own. A partition whose head has to wait is paused and read again from
that head, so it keeps its place in the group for hours and holds nobody up. Committed is only what Kafka has confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from bridge import logs, metrics
from processors.ending import doubt
from processors.stream.outbox import Outbox, Record

POLL_MS = 200
"""How late it may be noticed that a wait has ended."""

WAITING_MS, QUIET_MS = 100, 500
"""How long a broker may hold a fetch open while some partition is held, which it does not ask for then, and while none is."""
RECORDS = 500  # moved in one round; the next begins when Kafka has confirmed them
PARTITION_BYTES = 256 * 1024  # fetched ahead per partition; a larger record comes all the same

LOG = logs.get("processors.mover")


class Step(Enum):
    """What becomes of the record at a partition's head."""

    GIVE = "give it back to the workers"
    KEEP = "put it at its topic's end"
    HOLD = "wait with it, and with everything behind it"


class Rule(Protocol):
    """When executions of one kind of topic come back."""

    def step(self, tp: TopicPartition, record: Any, end: int) -> Step:
        """Decide about the record at a partition's head; `end` is the partition's."""

    def ready(self, tp: TopicPartition) -> bool:
        """Say whether a partition that was held is worth another look."""

    def late(self, record: Any) -> float:
        """Say for how many seconds a record has been due."""

    def forget(self) -> None:
        """Begin afresh: partitions have come and gone."""


class Mover(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """
    `rules` are those of each topic; `connection` is what aiokafka needs to reach the brokers.

    What else it shows is for those who watch it, and described there: `processors.watch.overdue`.
    """

    def __init__(
        self, rules: Mapping[str, Rule], target: str, outbox: Outbox, *, group: str, slot: str, connection: Mapping[str, Any]
    ) -> None:
        self._rules, self._target, self._outbox = rules, target, outbox
        self.held: set[TopicPartition] = set()
        self.late: dict[TopicPartition, float] = {}
        self.rounds = self.calm = self.joins = 0
        self._moving: Collection[TopicPartition] = ()
        self._consumer = AIOKafkaConsumer(
            group_id=group,
            group_instance_id=slot,
            client_id="event-bridge-mover",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=PARTITION_BYTES,
            **connection,
        )

    @property
    def topics(self) -> Collection[str]:
        """Where executions wait."""
        return self._rules.keys()

    def assignment(self) -> Collection[TopicPartition]:
        """Give the partitions that are this mover's."""
        found: Collection[TopicPartition] = self._consumer.assignment()
        return found

    def passed(self, tp: TopicPartition) -> int:
        """Say up to where nothing is left to move: also past the end of a transaction, which is no record and not committed."""
        state = self._consumer._subscription._assigned_state(tp)
        return state.position if state.has_valid_position and tp not in self._moving else 0

    async def run(self) -> None:
        """Move until cancelled. Whatever else ends it ends the worker."""
        self._consumer.subscribe(list(self._rules), listener=self)
        await self._consumer.start()
        try:
            while True:
                await self._round()
                self.rounds += 1
        finally:
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing to do: what is on its way is given back twice at worst, and the router drops the second."""

    async def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ARG002
        """Forget what was held: every partition begins again at its committed offset, and is not paused."""
        self.joins += 1
        self.held.clear()
        self.late.clear()
        for rule in self._rules.values():
            rule.forget()

    async def _round(self) -> None:
        for tp in [tp for tp in self.held if self._rules[tp.topic].ready(tp)]:
            self.held.discard(tp)
            self._consumer.resume(tp)
        self._consumer._fetcher._fetch_max_wait_ms = WAITING_MS if self.held else QUIET_MS
        found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS)
        self._moving, moving = found, _Moving(self._outbox)
        offsets = {}
        for tp, records in found.items():
            if (end := self._move(tp, records, moving)) is not None:
                offsets[tp] = end
        await moving.done()
        if offsets:
            await self._commit(offsets)
        self._moving = ()
        self.calm += sum(map(len, found.values())) < RECORDS

    def _move(self, tp: TopicPartition, records: list[Any], moving: _Moving) -> int | None:
        """Move records from the head until one has to wait; returns the offset after the last one moved, None: there was none."""
        rule, end = self._rules[tp.topic], None
        highwater = self._consumer.highwater(tp) or 0
        self.late[tp] = rule.late(records[0])
        for record in records:
            step = rule.step(tp, record, highwater)
            if step is Step.HOLD:
                self.held.add(tp)
                self._consumer.pause(tp)
                self._consumer.seek(tp, record.offset)
                break
            moving.send(record, self._target if step is Step.GIVE else tp.topic)
            metrics.REDELIVERED.inc(step is Step.GIVE)
            end = record.offset + 1
        return end

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as err:
            LOG.info("A mover's commit came after a rebalance; the next owner moves the same executions", error=str(err))


class _Moving:
    """One round's records on their way, and the moment when Kafka has them all."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._left = 0
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, record: Any, topic: str) -> None:
        self._left += 1
        again = Record(topic, record.key, record.value or b"", list(record.headers), record.partition)
        self._outbox.send(again, self._confirmed)

    def _confirmed(self, error: Any, _: Any) -> None:
        if error is not None:
            doubt("a waiting execution could not be moved", error=error.str())
        self._left -= 1
        if not self._left and not self._all.done():
            self._all.set_result(None)

    async def done(self) -> None:
        if self._left:
            await self._all
