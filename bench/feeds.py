# SPDX-License-Identifier: Apache-2.0
"""A feed at its head: how long a poll takes that finds a new notice, its completion, and a poll that finds nothing."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus

import aiohttp
from confluent_kafka import Producer

from bench.product import Bench
from bench.tenant import create
from bridge.kafka.client import producing
from bridge.notifications.notice import SUCCESS, Notice, partition_of, written
from bridge.registry.clients import create_client
from bridge.registry.session import changing
from bridge.settings import Settings
from bridge.stack.ports import LOOPBACK
from bridge.topics import NOTIFICATIONS

PREFIX, TENANT = "bench-feeds", "bench"
BEFORE, POLLS, WARM = 20_000, 300, 20
"""Notices that were told earlier, and polls; the first ones are not counted."""
PAYLOAD = b'{"eventId":"%s","status":"Processed","note":"%s"}' % (b"0" * 36, b"x" * 400)

Found = dict[str, list[float]]


def measure(bench: Bench) -> Found:
    """Tell of one thing after another, each polled and completed before the next."""
    settings = bench.settings(PREFIX)
    asyncio.run(create(settings, TENANT))
    form = asyncio.run(_client(settings))
    producer = Producer(producing(settings, linger_ms=0, timeout_s=60))
    _tell(producer, settings, BEFORE)
    with bench.web(PREFIX) as web:
        return asyncio.run(_poll(f"http://{LOOPBACK}:{web.port}", form, lambda: _tell(producer, settings, 1)))


async def _client(settings: Settings) -> dict[str, str]:
    async with changing(settings) as changes:
        made = await create_client(changes, TENANT, "bench")
    return {"grant_type": "client_credentials", "client_id": made.client.id, "client_secret": made.secret}


def _tell(producer: Producer, settings: Settings, count: int) -> None:
    """Store notices, as the worker would have."""
    topic, partition = NOTIFICATIONS.name(settings), partition_of(TENANT, settings.partitions)
    for _ in range(count):
        name = str(uuid.uuid4())
        notice = Notice(name, TENANT, SUCCESS, f"/eventingress/v1/events/{name}", PAYLOAD, time.time_ns() // 1_000_000, "", name)
        key, headers, value = written(notice)
        producer.produce(topic, value, key, partition, headers=headers)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("the notices could not be stored")


async def _poll(url: str, form: dict[str, str], tell: Callable[[], None]) -> Found:
    async with aiohttp.ClientSession(url) as session:
        async with session.post("/connect/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        own = {"Authorization": f"Bearer {token}", "X-TENANT-ID": TENANT}
        found: Found = defaultdict(list)

        async def ask(name: str, method: str, path: str, wanted: HTTPStatus) -> aiohttp.ClientResponse:
            began = time.perf_counter()
            async with session.request(method, f"/eventnotifications/v2/all/{path}", headers=own) as answer:
                await answer.read()
            found[name].append((time.perf_counter() - began) * 1000)
            if answer.status != wanted:
                raise RuntimeError(f"{method} {path}: {answer.status}")
            return answer

        await ask("discardAll", "PUT", "discardAll", HTTPStatus.OK)
        for _ in range(POLLS + WARM):
            await asyncio.to_thread(tell)
            batch = await (await ask("a poll that finds one notice", "GET", "next", HTTPStatus.OK)).json()
            await ask("its completion", "POST", f"{batch['batchId']}/complete", HTTPStatus.OK)
            await ask("a poll that finds nothing", "GET", "next", HTTPStatus.NO_CONTENT)
    return {name: sorted(taken[WARM:]) for name, taken in found.items() if len(taken) > 1}


def report(found: Found) -> bool:
    """Print the table; nothing is asked for but that every notice came at once."""
    print(f"\n{'behind ' + format(BEFORE, ',') + ' older notices':32} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for name, taken in found.items():
        print(f"{name:32} {taken[len(taken) // 2]:8.1f} {taken[len(taken) * 99 // 100]:8.1f} {taken[-1]:8.1f}")
    return True
