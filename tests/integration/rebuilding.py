# SPDX-License-Identifier: Apache-2.0
"""One installation without servers, whose view is lost and made again from Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from confluent_kafka import Consumer, TopicPartition

from bridge.domain.execution import Execution, Status
from bridge.executions import encode
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import connection
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.projection import Projection
from bridge.settings import Settings
from bridge.topics import EVENTS, worker_group
from bridge.view.rebuild import Report, rebuild
from bridge.view.status import StatusView
from tests.conftest import StackOfTests
from tests.integration.valkey import OwnValkey
from tests.integration.view_facts import Door, Log, Stored, make_execution, until


@dataclass
class Site:
    """One installation's Kafka and view, without servers."""

    settings: Settings
    pipe: Pipe
    log: Log
    door: Door
    projection: Projection
    status: StatusView
    outside: redis.Redis
    keys: Keys

    async def rebuilt(self) -> Report:
        report = await asyncio.to_thread(rebuild, self.settings)
        assert report is not None
        return report

    async def written(self) -> None:
        """Wait until the projection has nothing more to write."""

        async def idle() -> bool:
            return self.projection.waiting == 0

        await until(idle, 60)
        assert await self.projection.flush(10)

    def record(self, executions: list[Execution]) -> None:
        """Store executions in Kafka and tell the projection, as the worker does."""
        for execution, offset in zip(executions, self.log.executions(executions), strict=True):
            self.projection.recorded(
                execution.tenant, execution.execution_id, execution.correlation_id, offset, encode(execution)
            )

    def finish(self, stored: list[Stored]) -> None:
        """Commit what the router has finished, and say so to the projection."""
        ends: dict[int, int] = {}
        for one in stored:
            ends[one.position.partition] = max(ends.get(one.position.partition, 0), one.position.offset + 1)
        topic = EVENTS.name(self.settings)
        consumer = Consumer(connection(self.settings) | {"group.id": worker_group(self.settings)})
        consumer.commit(offsets=[TopicPartition(topic, p, end) for p, end in ends.items()], asynchronous=False)
        consumer.close()
        for partition, end in ends.items():
            self.projection.passed(partition, end)


@asynccontextmanager
async def site_of(settings: Settings) -> AsyncIterator[Site]:
    ensure_topics(settings)
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    projection = Projection(pipe, settings)
    running = asyncio.create_task(projection.run())
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True) as outside:
        keys = Keys(settings.topic_prefix)
        yield Site(settings, pipe, Log(settings), Door(pipe, settings), projection, StatusView(pipe, settings), outside, keys)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled(), running.exception()
    await pipe.close()


@asynccontextmanager
async def own_site(directory: Path, stack: StackOfTests) -> AsyncIterator[tuple[Site, OwnValkey]]:
    """Give a site with a Valkey of its own, which may be emptied and killed."""
    own = OwnValkey(directory).start()
    try:
        async with site_of(stack.settings(redis=own.settings(timeout_ms=2000))) as found:
            yield found, own
    finally:
        own.kill()


def outcome_of(number: int, stored: Stored) -> list[Execution]:
    """What became of the n-th event: done, failed, skipped, tried again, or wanted by nobody."""
    match number % 5:
        case 0:
            return [make_execution(stored.event, stored.position)]
        case 1:
            failed = make_execution(stored.event, stored.position, Status.FAILED, reason="boom: it broke", results=())
            return [failed, make_execution(stored.event, stored.position, process="audit")]
        case 2:
            return [make_execution(stored.event, stored.position, Status.SKIPPED, data="null", results=())]
        case 3:
            again = make_execution(stored.event, stored.position, Status.PENDING, reason="busy: later")
            return [again, replace(again, status=Status.COMPLETED, attempt=2, finished_ms=9, reason="")]
        case _:
            return []
