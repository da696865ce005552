# SPDX-License-Identifier: Apache-2.0
"""The thread in which Faust's consumer lives, with aiokafka: what it fetches, and what it is asked from outside."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from processors.ending import doubt
from processors.stacks import show_tasks_of
from processors.stream import membership

BUSY_WAIT_MS, QUIET_WAIT_MS = 25, 250
"""
How long a broker may hold a fetch open while records come, and when none came for `BUSY_S`.

A fetch asks for the partitions that have nothing waiting here, and until it returns, those it did not ask for get nothing: while
records come, its length would be their latency. In quiet it asks for all, so any record ends it at once, and its length is only
what waiting costs: 25 ms take a tenth of a core, here and in Kafka.
"""

BUSY_S = 1.0

CONSUMED_S = 0.005
"""
How long aiokafka waits with its next fetch until what the last one brought is taken over.

Its own tenth of a second is what others' events would wait for each partition that an agent under pressure leaves lying.
"""


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
        self._busy_until = 0.0

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
        except asyncio.CancelledError:
            # aiokafka waits for each fetch that it cancels. One that rests after a failure, as all do while no broker is there,
            # passes the cancellation on, and nobody would hear that this thread has ended.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            await self._ensure_consumer()._client.close()

    def _let_go(self) -> None:
        self._leaving = True
        for promise in tuple(self._asked):
            if not promise.done():
                promise.set_exception(Leaving("the consumer's thread is stopping"))

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  the parameter is Faust's
        max_records: int | None = None,
    ) -> Any:
        records, now = await super()._fetch_records(consumer, active_partitions, timeout, max_records), time.monotonic()
        self._busy_until = now + BUSY_S if records else self._busy_until
        consumer._fetcher._fetch_max_wait_ms = BUSY_WAIT_MS if now < self._busy_until else QUIET_WAIT_MS
        return records

    def look_again(self) -> None:
        """
        Let a fetch that waits for news look at what it has: a partition that it had to leave may be taken again.

        Otherwise it would wait for its whole second where every partition has something waiting here, and nothing new comes.
        """
        with suppress(RuntimeError):  # its loop is closed: the worker leaves, and nothing is fetched any more
            self.thread_loop.call_soon_threadsafe(self._look_again)

    def _look_again(self) -> None:
        fetcher = self._ensure_consumer()._fetcher
        for waiter in fetcher._fetch_waiters:
            fetcher._notify(waiter)

    async def on_start(self) -> None:
        await super().on_start()
        show_tasks_of(self.thread_loop)
        self._ensure_consumer()._fetcher._prefetch_backoff = CONSUMED_S
        membership.watch(self._ensure_consumer(), self.app.conf.consumer_group_instance_id)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """
        Leave it to the watchdog, which asks Kafka.

        Faust's own detector calls every partition of a table that had nothing to recover dead: an error each, every few seconds.
        """

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
