# SPDX-License-Identifier: Apache-2.0
"""
Faust's Kafka transport, fed and committed our way: one stream item is one fetch of one partition, and what is committed is the
head of our own window, never what Faust believes to be acknowledged (docs/explanation/faust.md).

Overrides internals of the pinned faust-streaming and aiokafka; tests/unit/test_faust_overrides.py names every one of them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import faust
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from processors.stream.consumer_thread import BatchThread

DRAIN_S = 8.0
"""How long a rebalance or a stop waits for the windows; less than the session, so that nobody takes over meanwhile."""

Step = Literal["starting", "revoking", "joining", "assigned"]
"""How far a rebalance is: while starting and joining, the group's other members may be what it waits for."""


class Ledger(Protocol):
    """Who knows what may be committed; the router, with its tables."""

    def heads(self, committed: Mapping[TP, int]) -> Mapping[TP, tuple[int, str]]:
        """For each partition the offset to commit, and the note that goes with it; `committed` are those of our partitions."""

    async def before_commit(self) -> None:
        """Write and await what a commit may only follow."""

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Take note of what was committed."""

    def idle(self) -> bool:
        """Say whether nothing is in flight."""

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Give partitions up: nothing may be produced for them from now on."""


class BatchSchema(faust.Schema[Any, Any]):
    """The value of a message is a list of records already: nothing to decode."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ARG002
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ARG002
        return message.value


class BatchScheduler(DefaultSchedulingStrategy):
    """Turn each partition's records into one record that carries them all, at the last one's offset."""

    def __init__(self) -> None:
        """Without this the class counts as abstract: Faust declares the method and forgets it."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        for partition, batch in records.items():
            if batch:
                last = dataclasses.replace(
                    batch[-1], key=None, value=batch, headers=(), serialized_key_size=0, serialized_value_size=0
                )
                yield partition, last


class BatchConsumer(driver.Consumer):
    """Commit exactly what the ledger says, and drain its windows before a partition is given away."""

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module
    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scheduler = BatchScheduler()
        self.ledger: Ledger = self.transport.ledger  # type: ignore[attr-defined]  # BatchTransport
        self.notes: dict[TP, str] = {}
        self._noted: dict[TP, str] = {}  # those that Kafka has of this life of a partition
        self.step: Step = "starting"
        self.recovered = False  # whether the tables are, for just the partitions that are ours now

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def stale(self, message: Any) -> bool:
        """Say whether a batch is of a life before the last rebalance, or came while stopping; it is read again then."""
        app = self.app
        return not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:  # noqa: ARG002  Faust tracks none of ours
        offsets = {}
        for tp, (head, note) in self.ledger.heads(self._committed()).items():
            if self._should_commit(tp, head) or note != self._noted.get(tp, ""):  # in a quiet partition the note alone goes on
                offsets[tp], self.notes[tp] = head, note
        return offsets

    def _committed(self) -> dict[TP, int]:
        """Give where our partitions are committed; none until the tables are recovered, which only then tell a note."""
        if not self.recovered:
            return {}
        return {tp: offset for tp in self.assignment() if (offset := self._committed_offset[tp])}

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        await self.ledger.before_commit()
        done: bool = await super().force_commit(topics, start_new_transaction)
        return done

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before, noted = {tp: self._committed_offset[tp] for tp in offsets}, {tp: self.notes[tp] for tp in offsets}
        done: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if done:
            self._noted.update(noted)
            self.ledger.committed(offsets)
        else:
            self._committed_offset.update(before)  # stock Faust notes an offset as committed even where that failed
        return done

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._thread.look_again()

    async def perform_seek(self) -> None:
        await super().perform_seek()  # passes over partitions without a commit, of which Faust may have dropped records before
        fresh = [tp for tp in self.assignment() if not self._committed_offset[tp] and not self._is_changelog_tp(tp)]
        await self._thread.seek_to_start(fresh)

    async def wait_empty(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while not self.ledger.idle() and time.monotonic() < deadline:  # noqa: ASYNC110  as rare as a rebalance
            await asyncio.sleep(0.02)
        await super().wait_empty()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.step, self.recovered = "revoking", False
        await super().on_partitions_revoked(revoked)  # waits for the windows and commits; then the rest is given up
        self.ledger.revoked(revoked)
        self.step = "joining"

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.step, self.recovered = "assigned", False
        await self._thread.pause_fetching(tp for tp in assigned if not self._is_changelog_tp(tp))  # until recovery is completed
        self._noted.clear()
        self.ledger.revoked(assigned)  # the eager protocol: every partition begins again at its committed offset
        await super().on_partitions_assigned(assigned, generation_id)


class BatchTransport(driver.Transport):
    """The transport of the worker's Faust application; `ledger` is set before anything touches `app.consumer`."""

    Consumer = BatchConsumer
    ledger: Ledger


def batch_topic(app: Any, name: str, partitions: int) -> Any:
    """Give a topic that arrives as lists of records and is never acknowledged."""
    return app.topic(name, schema=BatchSchema(), acks=False, maxsize=queue_size(partitions))


def queue_size(partitions: int) -> int:
    """Say how many batches an agent's queue has places for: more than ever come (`processors.stream.app.BatchQueue`)."""
    return max(8, 2 * partitions)
