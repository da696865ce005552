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
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import faust
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from processors import membership
from processors.ending import doubt

FETCH_WAIT_MS = 25
"""How long a broker may hold a fetch open: Faust's 1500 ms would be the latency of a quiet system."""

DRAIN_S = 8.0
"""How long a rebalance or a stop waits for the windows; less than the session, so that nobody takes over meanwhile."""


Step = Literal["starting", "revoking", "joining", "assigned"]
"""How far a rebalance is: while starting and joining, the group's other members may be what it waits for."""


class Ledger(Protocol):
    """Who knows what may be committed; the router, with its tables."""

    def heads(self) -> Mapping[TP, tuple[int, str]]:
        """For each partition the offset to commit, and the note that goes with it."""

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


class Leaving(Exception):
    """The consumer's thread is stopping and answers nothing any more."""


class BatchThread(driver.AIOKafkaConsumerThread):
    """
    Faust's consumer thread with a quick fetch, commits that carry a note, and an eye on its membership.

    It also lets go of whoever still waits for it when it stops. Faust's own leaves them waiting, and if one of them is the
    handler of a rebalance, the stopping consumer waits for that handler in turn: a worker that ignores SIGTERM.
    """

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked: set[asyncio.Future[Any]] = set()  # this and the flag belong to the loop of the callers
        self._leaving = False

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Run `fun` in the thread and wait for it. Raises: Leaving."""
        if self._leaving:
            raise Leaving
        promise = self.parent_loop.create_future()
        self._asked.add(promise)
        promise.add_done_callback(self._asked.discard)
        await self.method_queue.call(promise, fun, *args, **kwargs)
        return await promise

    async def on_thread_stop(self) -> None:
        self.parent_loop.call_soon_threadsafe(self._let_go)
        try:
            await super().on_thread_stop()
        except KafkaError as err:  # of a join that this very stop broke off; nothing was read yet that could be lost
            self.log.warning("The consumer left while it joined its group: %s", err)

    def _let_go(self) -> None:
        self._leaving = True
        for promise in tuple(self._asked):
            if not promise.done():
                promise.set_exception(Leaving("the consumer's thread is stopping"))

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        membership.watch(self._ensure_consumer(), self.app.conf.consumer_group_instance_id)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer, notes = self._ensure_consumer(), self.consumer.notes  # type: ignore[attr-defined]  # BatchConsumer
        assigned = self.assignment()
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, notes.get(tp, ""))
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            await consumer.commit(wanted)
        except CommitFailedError as err:
            self.log.warning("A commit came too late, after a rebalance: %s", err)
            return False
        except asyncio.CancelledError:
            raise
        except Exception as err:  # noqa: BLE001  whatever the broker refuses for good ends the process: Faust would go on
            doubt("offsets could not be committed", error=repr(err))
        return True

    async def notes_of(self, partitions: Iterable[TP]) -> dict[TP, str]:
        """Read the notes that were committed with the offsets; absent where nothing was."""
        return await self.call_thread(self._notes_of, list(partitions))  # type: ignore[no-any-return]

    async def _notes_of(self, partitions: list[TP]) -> dict[TP, str]:
        asked = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
        found = await self._ensure_consumer()._coordinator.fetch_committed_offsets(asked)
        return {TP(tp.topic, tp.partition): note.metadata for tp, note in found.items() if note.offset >= 0}

    async def offsets_since(self, times: Mapping[TP, int]) -> dict[TP, int | None]:
        """Find the first offset at or after a time in milliseconds; None where there is none."""
        return await self.call_thread(self._offsets_since, dict(times))  # type: ignore[no-any-return]

    async def _offsets_since(self, times: dict[TP, int]) -> dict[TP, int | None]:
        asked = {TopicPartition(tp.topic, tp.partition): ms for tp, ms in times.items()}
        found = await self._ensure_consumer().offsets_for_times(asked)
        return {TP(tp.topic, tp.partition): at.offset if at else None for tp, at in found.items()}

    async def seek_to_start(self, partitions: Iterable[TP]) -> None:
        """Go back to the first record of each partition."""
        await self.call_thread(self._seek_to_start, list(partitions))

    async def _seek_to_start(self, partitions: list[TP]) -> None:
        if partitions:
            await self._ensure_consumer().seek_to_beginning(*(TopicPartition(*tp) for tp in partitions))

    async def pause_fetching(self, partitions: Iterable[TP]) -> None:
        """Stop aiokafka from fetching partitions ahead: Faust's own pause only hides what was fetched."""
        await self.call_thread(self._pause_fetching, list(partitions))

    async def resume_fetching(self) -> None:
        """Let aiokafka fetch all that is read for good: everything but the tables' topics."""
        await self.call_thread(self._resume_fetching)

    async def _pause_fetching(self, partitions: list[TP]) -> None:
        consumer = self._ensure_consumer()
        held = consumer.assignment()
        consumer.pause(*(TopicPartition(*tp) for tp in partitions if TopicPartition(*tp) in held))

    async def _resume_fetching(self) -> None:
        consumer = self._ensure_consumer()
        consumer.resume(*(tp for tp in consumer.assignment() if not self.consumer._is_changelog_tp(TP(*tp))))


class BatchConsumer(driver.Consumer):
    """Commit exactly what the ledger says, and drain its windows before a partition is given away."""

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module
    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scheduler = BatchScheduler()
        self.ledger: Ledger = self.transport.ledger  # type: ignore[attr-defined]  # BatchTransport
        self.notes: dict[TP, str] = {}
        self.step: Step = "starting"

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def stale(self, message: Any) -> bool:
        """Say whether a batch is of a life before the last rebalance, or came while stopping; it is read again then."""
        app = self.app
        return not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:  # noqa: ARG002  Faust tracks none of ours
        offsets = {}
        for tp, (head, note) in self.ledger.heads().items():
            if self._should_commit(tp, head):
                offsets[tp], self.notes[tp] = head, note
        return offsets

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        await self.ledger.before_commit()
        done: bool = await super().force_commit(topics, start_new_transaction)
        return done

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if done:
            self.ledger.committed(offsets)
        else:
            self._committed_offset.update(before)  # stock Faust notes an offset as committed even where that failed
        return done

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
        self.step = "revoking"
        await super().on_partitions_revoked(revoked)  # waits for the windows and commits; then the rest is given up
        self.ledger.revoked(revoked)
        self.step = "joining"

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.step = "assigned"
        await self._thread.pause_fetching(tp for tp in assigned if not self._is_changelog_tp(tp))  # until recovery is completed
        self.ledger.revoked(assigned)  # the eager protocol: every partition begins again at its committed offset
        await super().on_partitions_assigned(assigned, generation_id)


class BatchTransport(driver.Transport):
    """The transport of the worker's Faust application; `ledger` is set before anything touches `app.consumer`."""

    Consumer = BatchConsumer
    ledger: Ledger


def batch_topic(app: Any, name: str, maxsize: int) -> Any:
    """Give a topic that arrives as lists of records and is never acknowledged; `maxsize` counts batches."""
    return app.topic(name, schema=BatchSchema(), acks=False, maxsize=maxsize)
