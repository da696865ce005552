# SPDX-License-Identifier: Apache-2.0
"""Look runs up and signal to them from a command: what a server process holds for its lifetime, made for one use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from confluent_kafka import KafkaError

from bridge import logs
from bridge.domain.errors import ViewUnavailable
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.pipe import Pipe
from bridge.runs.runs import Runs
from bridge.runs.sending import Sender
from bridge.settings import Settings

LOG = logs.get("bridge.runs")

CONNECT_S: Final = 5.0


@asynccontextmanager
async def using_runs(settings: Settings) -> AsyncIterator[Runs]:
    """Give the way to the runs of an installation. Raises: ViewUnavailable where Redis cannot be reached."""
    loop = asyncio.get_running_loop()
    pipe = Pipe(settings.redis, loop)
    producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
    try:
        if not await pipe.wait_connected(CONNECT_S):
            raise ViewUnavailable("Redis does not answer; runs cannot be looked up without it.")
        yield Runs(settings, pipe, Sender(settings, producer))
    finally:
        await producer.close(CONNECT_S)
        await pipe.close()


def _fatal(error: KafkaError) -> None:
    LOG.error("the producer failed for good", reason=error.str())
