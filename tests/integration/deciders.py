# SPDX-License-Identifier: Apache-2.0
"""Processes that decide, as a server would, and that can be halted between any two of the four steps of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from confluent_kafka import KafkaError

from bridge import topics
from bridge.decisions.decide import Decisions
from bridge.decisions.facts import Ref
from bridge.decisions.holds import ObjectHolds
from bridge.domain.errors import Conflict, Unavailable
from bridge.domain.limits import Window
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.pipe import Pipe
from bridge.registry.changes import Changes
from bridge.registry.registry import Registry
from bridge.registry.session import changing, reading
from bridge.registry.tenants import change_tenant, create_tenant
from bridge.settings import Settings
from bridge.view.keeper import ViewKeeper

ACME = Ref("tenant", "acme", "")

Point = Literal["begun", "recorded", "read"]
"""Which of its steps a decision has just done: it is tentative, its fact is in Kafka, it was read back."""
POINTS: tuple[Point, ...] = ("begun", "recorded", "read")
Halt = Callable[[Point], Awaitable[None]]


async def straight_on(_: Point) -> None:
    """Halt nowhere."""


class Halting(Decisions[Any]):
    """The real decisions, with a place to stop at between two steps."""

    def __init__(self, *args: Any, halt: Halt) -> None:
        super().__init__(*args)
        self._halt = halt

    async def _record(self, tentative: Any) -> None:
        await self._halt("begun")
        await super()._record(tentative)

    async def _read_back(self, tentative: Any, deadline: float) -> None:
        await self._halt("recorded")
        await super()._read_back(tentative, deadline)
        await self._halt("read")


@asynccontextmanager
async def decider(settings: Settings, halt: Halt = straight_on) -> AsyncIterator[Changes]:
    """Give the way to change the registry from a server: it keeps the view whole, and waits for no rebuild."""
    loop = asyncio.get_running_loop()
    registry = Registry(settings)
    registry.start()
    pipe = Pipe(settings.redis, loop)
    producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
    keeping = asyncio.create_task(ViewKeeper(pipe, settings).run())
    try:
        assert await pipe.wait_connected(10)
        assert await asyncio.to_thread(registry.wait_current, 20), registry.fault
        yield Changes(
            registry, Halting(settings, topics.REGISTRY, pipe, producer, ObjectHolds(pipe, settings), registry.fate, halt=halt)
        )
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await producer.close(5)
        await pipe.close()
        await asyncio.to_thread(registry.close)


async def change(changes: Changes, quota: int, expected: int) -> None:
    """Try once to give the tenant a quota, from a version of it."""
    await change_tenant(changes, "acme", windows=[Window(quota, 1)], expected=expected)


def too_late(err: Conflict | Unavailable) -> bool:
    """Tell the conflict with a change that counts from the one with a change that is only under way."""
    return isinstance(err, Conflict) and "was changed meanwhile" in str(err)


async def make_acme(settings: Settings, quota: int) -> int:
    """Make the tenant that everybody wants to change; gives its version."""
    async with changing(settings) as changes:
        await create_tenant(changes, "acme", [Window(quota, 1)])
        return changes.registry.held(ACME).version


def quota_of(settings: Settings) -> int:
    """Ask a reader that starts now, at the beginning of the topic."""
    with reading(settings) as registry:
        return registry.windows("acme")[0].quota


def _fatal(error: KafkaError) -> None:
    raise AssertionError(error)
