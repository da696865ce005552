# SPDX-License-Identifier: Apache-2.0
"""
Put one server process together: the registry, the producer, the pipe to Redis and the use cases over them.

Called by the door on its own loop, and by `standalone` for any other WSGI server. The only place in `web` that chooses
adapters.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

from confluent_kafka import KafkaError

from bridge import topics
from bridge.claims.claims import Claims
from bridge.claims.holds import ClaimHolds
from bridge.claims.leases import Leases
from bridge.claims.lists import Lists
from bridge.claims.log import ClaimLog
from bridge.claims.outputs import Outputs
from bridge.credentials import Vault
from bridge.decisions.decide import Decisions
from bridge.decisions.holds import ObjectHolds
from bridge.egress.addresses import networks
from bridge.ingress.messages import Messages
from bridge.ingress.throttle import Throttle
from bridge.intake.accept import Intake
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.logs import get
from bridge.metrics import LOOP_LAG, WORKERS_DIFFERING
from bridge.notifications.feeds import Feeds
from bridge.notifications.poster import Poster
from bridge.notifications.reader import Reader
from bridge.redis.epoch import ViewGuard
from bridge.redis.pipe import Pipe
from bridge.registry import Registry
from bridge.registry.business import BusinessProcesses
from bridge.registry.changes import Changes
from bridge.runs.runs import Runs
from bridge.runs.sending import Sender
from bridge.settings import Settings
from bridge.tokens.tokens import Tokens
from bridge.view.expecting import Expectation
from bridge.view.keeper import ViewKeeper
from bridge.view.status import StatusView
from web.services import Flow, Ingress, Services

LOG = get("web")
LAG_S = 1.0
WORKERS_S = 5.0
LOOK_S = 0.5


async def open_services(settings: Settings, loop: asyncio.AbstractEventLoop) -> Services:
    """
    Start everything and return once the registry was read to its end and claims are followed, however long Kafka takes.

    Redis is not waited for: intake works without it.
    Raises: Misconfigured.
    """
    registry = Registry(settings)
    claim_log = ClaimLog(settings, lambda: registry.facts.epoch)
    for log in (registry, claim_log):
        log.start()
    for log in (registry, claim_log):
        while not await asyncio.to_thread(log.wait_current, LOOK_S):
            pass  # the log itself says what it waits for; short looks let the process end meanwhile
    producer = LoopProducer(producing(settings, linger_ms=settings.kafka.linger_ms), loop, _leave)
    pipe = Pipe(settings.redis, loop)
    guard = ViewGuard(pipe, settings)
    keeper = ViewKeeper(pipe, settings, Expectation(registry))
    lists = Lists(pipe, settings, guard)
    decisions = Decisions(settings, topics.CLAIMS, pipe, producer, ClaimHolds(pipe, settings), claim_log.fate)
    claims = Claims(lists, decisions, Outputs(settings, producer, lists))
    leases = Leases(pipe, settings, claims, lambda: [one.name for one in registry.tenants()])
    running = (guard.run(), keeper.run(), leases.run(), _watch_lag(loop), _watch_workers(registry))
    background = tuple(_watched(loop, one) for one in running)
    intake = Intake(settings, producer, pipe, guard, windows=registry.windows, expected=Expectation(registry))
    status = StatusView(pipe, settings)
    deciding = Decisions(settings, topics.REGISTRY, pipe, producer, ObjectHolds(pipe, settings), registry.fate)
    changes = Changes(registry, deciding)
    ingress = _ingress(settings, changes, pipe, Messages(pipe, settings, guard, status))
    flow = _flow(settings, pipe, producer)
    made = settings, registry, intake, status, lists, claims, ingress, flow, changes, claim_log, pipe, producer
    return Services(*made, background)


async def close_services(services: Services, timeout_s: float) -> None:
    """Wait for what is on its way to Kafka, then let everything go."""
    settled = await services.intake.close(timeout_s / 2)
    left = await services.producer.close(timeout_s / 2)
    if left:
        LOG.error("left without the broker's confirmation", records=left)
    if not settled:
        LOG.error("left before Redis was told of every event; once it is back, `evb rebuild` makes the live view whole")
    for task in services.background:
        task.cancel()
    await asyncio.gather(*services.background, return_exceptions=True)
    await services.ingress.poster.close()
    await services.ingress.feeds.close()
    await services.pipe.close()
    await asyncio.to_thread(services.claim_log.close)
    await asyncio.to_thread(services.registry.close)


def _ingress(settings: Settings, changes: Changes, pipe: Pipe, messages: Messages) -> Ingress:
    registry, vault = changes.registry, Vault(settings.secret_keys.get_secret_value())
    return Ingress(
        tokens=Tokens(settings, registry),
        requests=Throttle(pipe, settings, "requests", always=True),
        points=Throttle(pipe, settings, "points", always=False),
        others=Throttle(pipe, settings, "others", always=False),
        messages=messages,
        processes=BusinessProcesses(registry),
        feeds=Feeds(settings, pipe, changes, Reader(settings)),
        vault=vault,
        poster=Poster(networks(settings.egress_allowed_networks), vault),
    )


def _flow(settings: Settings, pipe: Pipe, producer: LoopProducer) -> Flow:
    if settings.flow_anonymous_tenant:
        LOG.warning("Flow's API is open to anybody: EVB_FLOW_ANONYMOUS_TENANT", tenant=settings.flow_anonymous_tenant)
    return Flow(Runs(settings, pipe, Sender(settings, producer)), Throttle(pipe, settings, "starts", always=False))


def _leave(error: KafkaError) -> None:
    """End the process: this producer will never produce again, and only a new process makes a new one."""
    LOG.critical("the producer failed for good; ending this process", error=str(error))
    os.kill(os.getpid(), signal.SIGTERM)


async def _watch_lag(loop: asyncio.AbstractEventLoop) -> None:
    """Measure how late the loop wakes up."""
    while True:
        due = loop.time() + LAG_S
        await asyncio.sleep(LAG_S)
        LOOP_LAG.set(max(0.0, loop.time() - due))


async def _watch_workers(registry: Registry) -> None:
    """Raise an alarm while live workers announce different plugin sets."""
    alarmed = False
    while True:
        differing = registry.differing_plugins()
        WORKERS_DIFFERING.set(len(differing))
        if differing and not alarmed:
            slots = {name: [f"{one.name} {one.version}" for one in said.processes] for name, said in differing.items()}
            LOG.error("the live workers announce different plugins; install the same ones everywhere", slots=slots)
        elif alarmed and not differing:
            LOG.info("the live workers announce the same plugins again")
        alarmed = bool(differing)
        await asyncio.sleep(WORKERS_S)


def _watched(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run something for ever; the process ends where it ends."""
    task = loop.create_task(work)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        LOG.critical("a part of the server ended; ending this process", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
