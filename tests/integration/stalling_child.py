# SPDX-License-Identifier: Apache-2.0
"""
A worker that can be made to stand still: the file TEST_STALL holds the name of a stall, which begins with the next life, or,
where the name allows it, at SIGUSR2. The file is then deleted, so the life after that is well.

`python -m tests.integration.stalling_child`, settings from EVB_*.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from bridge.sdk import Context, Event, NoConfig, Outcome
from bridge.settings import load
from processors.background.mover import Mover
from processors.stream.batches import BatchConsumer
from processors.stream.outbox import Outbox, Record, Report
from processors.tables.recovery import TimedRecovery, TimedTables
from processors.worker import serve
from tests.integration.worker_child import Quick, plugins

ORDERS = Path(os.environ["TEST_STALL"])
CONSUMERS: list[BatchConsumer] = []
MOVERS: list[Mover] = []


def head() -> None:
    """Swallow the delivery reports of one partition's execution records: its events never end."""
    send, chosen = Outbox.send, list[int]()

    def silent(self: Outbox, record: Record, report: Report) -> None:
        if record.topic.endswith(".executions") and record.partition in (chosen or [record.partition]):
            chosen[:] = [record.partition]
            send(self, record, lambda error, message: None)
        else:
            send(self, record, report)

    Outbox.send = silent  # type: ignore[method-assign]


def fetch() -> None:
    """Let aiokafka leave one partition of events, or of a lane, alone."""
    thread = CONSUMERS[0]._thread
    consumer = thread._ensure_consumer()
    one = min(tp for tp in consumer.assignment() if tp.topic.endswith(".events") or ".lanes." in tp.topic)
    thread.thread_loop.call_soon_threadsafe(consumer.pause, one)


def loop() -> None:
    """Sleep in a coroutine, as somebody's first plugin does."""
    run = Quick.run

    async def blocking(self: Quick, event: Event, context: Context[NoConfig]) -> Outcome:
        time.sleep(60)
        return await run(self, event, context)

    Quick.run = blocking  # type: ignore[method-assign]


def rebalance() -> None:
    """Let the handler of an assignment never return."""

    async def never(self: TimedTables, *_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    TimedTables.on_rebalance = never  # type: ignore[method-assign]


def recovery() -> None:
    """Let aiokafka fetch nothing of what the tables wait for."""
    seek = TimedRecovery._seek_offsets

    async def seek_and_pause(self: TimedRecovery, consumer: Any, tps: Any, offsets: Any, title: str) -> None:
        await seek(self, consumer, tps, offsets, title)
        await consumer._thread.pause_fetching(tps)

    TimedRecovery._seek_offsets = seek_and_pause  # type: ignore[method-assign]


def mover_fetch() -> None:
    """Let the mover's aiokafka leave one partition of a tier alone."""
    consumer = MOVERS[0]._consumer
    asyncio.get_running_loop().call_soon_threadsafe(consumer.pause, _tier(consumer))


def mover_resume() -> None:
    """Let the mover's aiokafka fetch nothing any more of that partition once its head has waited."""
    consumer = MOVERS[0]._consumer
    resume, one = consumer.resume, _tier(consumer)
    consumer.resume = lambda *tps: resume(*(tp for tp in tps if tp != one))


def _tier(consumer: Any) -> Any:
    return min(tp for tp in consumer.assignment() if ".retries." in tp.topic)


STALLS = {one.__name__: one for one in (head, fetch, loop, rebalance, recovery, mover_fetch, mover_resume)}


def obey(*_: object) -> None:
    """Begin the stall that is ordered, if one is."""
    if ORDERS.exists():
        stall = ORDERS.read_text()
        ORDERS.unlink()
        STALLS[stall]()


def remember(cls: Any, those: list[Any]) -> None:
    """Keep what is made of a class."""
    made = cls.__init__

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        those.append(self)

    cls.__init__ = make


if __name__ == "__main__":
    remember(BatchConsumer, CONSUMERS)
    remember(Mover, MOVERS)
    obey()
    signal.signal(signal.SIGUSR2, obey)
    serve(load(), plugins())
