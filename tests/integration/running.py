# SPDX-License-Identifier: Apache-2.0
"""Workflows in tests: their documents, tenants that have them, and runs that are started, told and looked up."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError

from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.pipe import Pipe
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant
from bridge.registry.workflows import apply_workflow
from bridge.runs.runs import Runs
from bridge.runs.sending import Sender
from bridge.settings import Settings
from bridge.workflows.reading import check
from bridge.workflows.run import Run
from bridge.workflows.signals import Start
from tests.integration.workers import until

T = TypeVar("T")


def task(name: str, type_: str, *after: str, **members: Any) -> dict[str, Any]:
    before = [{"taskRef": one, "executionCondition": "success"} for one in after]
    return {"name": name, "type": type_, "dependencies": before} | members


def adds(name: str, n: Any, *after: str) -> dict[str, Any]:
    """A task that runs the tests' process `quick`."""
    return task(name, "process", *after, processRef="quick", params={"n": n})


def workflow(name: str, *tasks: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "tasks": list(tasks)} | members


def set_up(settings: Settings, *documents: dict[str, Any]) -> str:
    """Make a tenant with workflows; a worker that starts now knows them."""
    tenant = f"t-{uuid.uuid4().hex[:8]}"

    async def make() -> None:
        async with changing(settings) as changes:
            await create_tenant(changes, tenant)

    asyncio.run(make())
    apply(settings, tenant, *documents)
    return tenant


def apply(settings: Settings, tenant: str, *documents: dict[str, Any]) -> None:
    """Give workflows to a tenant."""

    async def make() -> None:
        async with changing(settings) as changes:
            for one in documents:
                await apply_workflow(changes, tenant, check(one))

    asyncio.run(make())


def with_runs(settings: Settings, use: Callable[[Runs], Awaitable[T]]) -> T:
    async def work() -> T:
        loop = asyncio.get_running_loop()
        pipe = Pipe(settings.redis, loop)
        producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
        assert await pipe.wait_connected(10)
        try:
            return await use(Runs(settings, pipe, Sender(settings, producer)))
        finally:
            await producer.close(10)
            await pipe.close()

    return asyncio.run(work())


def _fatal(error: KafkaError) -> None:
    raise AssertionError(str(error))


def start(settings: Settings, tenant: str, name: str, many: int = 1, **params: Any) -> list[str]:
    async def begin(runs: Runs) -> list[str]:
        wanted = [Start(tenant=tenant, workflow=name, version=1, params=params) for _ in range(many)]
        return [run.id for run in await asyncio.gather(*map(runs.start, wanted))]

    return with_runs(settings, begin)


def signal(settings: Settings, tenant: str, run_id: str, what: Any) -> None:
    with_runs(settings, lambda runs: runs.signal(tenant, run_id, what))


def look(settings: Settings, tenant: str, *ids: str) -> list[Run]:
    async def find(runs: Runs) -> list[Run]:
        return list(await asyncio.gather(*(runs.find(tenant, one) for one in ids)))

    return with_runs(settings, find)


def ended(settings: Settings, tenant: str, *ids: str, timeout_s: float = 40) -> list[Run]:
    until(lambda: all(run.ended for run in look(settings, tenant, *ids)), "every run has ended", timeout_s)
    return look(settings, tenant, *ids)


def of(run: Run, *names: str) -> list[str]:
    return [run.task(name).status for name in names]
