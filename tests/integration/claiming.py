# SPDX-License-Identifier: Apache-2.0
"""The parts of a web process that decide about claims, to be halted between any two of the four steps of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from confluent_kafka import KafkaError

from bridge import topics
from bridge.claims.claims import Claims, Holder
from bridge.claims.holds import ClaimHolds
from bridge.claims.lists import Lists
from bridge.claims.log import ClaimLog
from bridge.claims.outputs import Outputs
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.epoch import ViewGuard
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.view.keeper import ViewKeeper
from tests.integration.deciders import Halt, Halting, straight_on

ONE, TWO = Holder("acme", "live", "0123456789ab", 60_000), Holder("acme", "live", "ba9876543210", 60_000)


class Deciding(NamedTuple):
    """What a web process decides about claims with."""

    claims: Claims
    lists: Lists


def _fatal(error: KafkaError) -> None:
    raise AssertionError(str(error))


@asynccontextmanager
async def deciding(settings: Settings, halt: Halt = straight_on) -> AsyncIterator[Deciding]:
    """The parts of one web process that decide about claims; it keeps the view whole."""
    loop = asyncio.get_running_loop()
    pipe, log = Pipe(settings.redis, loop), ClaimLog(settings, lambda: 0)
    producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
    log.start()
    keeping = asyncio.create_task(ViewKeeper(pipe, settings).run())
    try:
        assert await pipe.wait_connected(10)
        assert await asyncio.to_thread(log.wait_current, 20)
        lists = Lists(pipe, settings, ViewGuard(pipe, settings))
        decisions = Halting(settings, topics.CLAIMS, pipe, producer, ClaimHolds(pipe, settings), log.fate, halt=halt)
        yield Deciding(Claims(lists, decisions, Outputs(settings, producer, lists)), lists)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await producer.close(5)
        await pipe.close()
        await asyncio.to_thread(log.close)
