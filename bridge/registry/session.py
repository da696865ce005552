# SPDX-License-Identifier: Apache-2.0
"""
Read or change the registry from a command: what a server process holds for its lifetime, made for one use.

Called by `evb tenants|keys|secrets` and by `evb dev`. Reading needs Kafka only; changing needs Redis as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from confluent_kafka import KafkaError

from bridge import logs, topics
from bridge.decisions.decide import Decisions
from bridge.decisions.holds import ObjectHolds
from bridge.domain.errors import BrokerUnavailable, ViewUnavailable
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.epoch import whole
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.registry.changes import Changes
from bridge.registry.registry import Registry
from bridge.settings import Settings
from bridge.view.rebuild import rebuild

LOG = logs.get("bridge.registry")

READ_S: Final = 30.0
CONNECT_S: Final = 5.0
REBUILD_S: Final = 120.0
"""How long another process' rebuild is waited for."""


@contextmanager
def reading(settings: Settings) -> Iterator[Registry]:
    """Give the registry as Kafka has it now. Raises: BrokerUnavailable where it cannot be read within 30 s."""
    registry = Registry(settings)
    registry.start()
    try:
        if not registry.wait_current(READ_S):
            raise BrokerUnavailable(
                f"The registry could not be read from {settings.kafka.bootstrap_servers}: {registry.fault or 'no answer'}. "
                "`evb doctor` says more; `evb topics ensure` creates a missing topic."
            )
        yield registry
    finally:
        registry.close()


@asynccontextmanager
async def changing(settings: Settings) -> AsyncIterator[Changes]:
    """
    Give the way to change the registry; creates missing topics and rebuilds a lost view first.

    Raises: BrokerUnavailable, ViewUnavailable where Redis cannot be reached.
    """
    await asyncio.to_thread(ensure_topics, settings)
    registry = Registry(settings)
    registry.start()
    loop = asyncio.get_running_loop()
    pipe = Pipe(settings.redis, loop)
    producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
    try:
        if not await pipe.wait_connected(CONNECT_S):
            raise ViewUnavailable("Redis does not answer; the registry can be read without it, not changed.")
        if not await asyncio.to_thread(registry.wait_current, READ_S):
            raise BrokerUnavailable(f"The registry could not be read: {registry.fault or 'no answer'}.")

        async def make_whole() -> None:
            await _make_whole(settings, pipe)

        yield Changes(
            registry, Decisions(settings, topics.REGISTRY, pipe, producer, ObjectHolds(pipe, settings), registry.fate, make_whole)
        )
    finally:
        await producer.close(CONNECT_S)
        await pipe.close()
        await asyncio.to_thread(registry.close)


async def _make_whole(settings: Settings, pipe: Pipe) -> None:
    """Rebuild the view, or wait for whoever is at it."""
    if await asyncio.to_thread(rebuild, settings, only_lost=True) is not None:
        return
    async with asyncio.timeout(REBUILD_S):
        while not whole(await pipe.call("GET", Keys(settings.topic_prefix).epoch), pipe.run_id):  # noqa: ASYNC110  in Redis
            await asyncio.sleep(0.2)


def _fatal(error: KafkaError) -> None:
    LOG.error("the producer failed for good", reason=error.str())
