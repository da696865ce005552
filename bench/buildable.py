# SPDX-License-Identifier: Apache-2.0
"""Lists and claims: pages among 100,000 events of a name, half of them claimed under each of five keys; 200 claims a second."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
import redis

from bench.load import body
from bench.product import Bench
from bench.storing import storing
from bench.tenant import create
from bridge.claims import facts
from bridge.claims.facts import Place
from bridge.claims.state import Move, State, begin
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.decisions.facts import EPOCH_HEADER
from bridge.domain.event import Event
from bridge.registry.pairs import create_pair
from bridge.registry.session import changing
from bridge.settings import Settings
from bridge.stack.ports import LOOPBACK
from bridge.topics import CLAIMS, EVENTS
from bridge.view.rebuild import rebuild

PREFIX, TENANT, LABEL, NAME = "bench-buildable", "bench", "bench", "order.paid"
EVENTS_MADE, TX_KEYS, PAYLOAD = 100_000, 5, 300
PAGES, CLAIMS_PER_S, SPAN_S = 1000, 200, 15
TARGETS = {"query p99 ms": 20.0, "init p99 ms": 50.0, "bytes per event": 1000.0, "bytes per claim": 200.0}


@dataclass(frozen=True, slots=True)
class Found:
    """Milliseconds and bytes; `rebuild_s` is how long it took to read all of it from Kafka."""

    query: list[float]
    init: list[float]
    event_bytes: float
    claim_bytes: float
    rebuild_s: float
    refused: int


def measure(bench: Bench) -> Found:
    """Store the events, then their claims, each read into the view by a rebuild; then ask."""
    settings = bench.settings(PREFIX)
    asyncio.run(create(settings, TENANT))
    secret = asyncio.run(_secret(settings))
    valkey = redis.Redis.from_url(bench.stack.redis)
    empty = _memory(valkey)
    keys = _events(settings)
    rebuild(settings)
    listed = _memory(valkey)
    claims = _claims(settings, keys)
    began = time.monotonic()
    rebuild(settings)
    took, claimed = time.monotonic() - began, _memory(valkey)
    with bench.web(PREFIX) as web:
        query, init, refused = asyncio.run(_ask(f"http://{LOOPBACK}:{web.port}", secret, keys))
    size = len(body(PAYLOAD))
    return Found(query, init, (listed - empty) / EVENTS_MADE - size, (claimed - listed) / claims, took, refused)


async def _secret(settings: Settings) -> str:
    async with changing(settings) as changes:
        return (await create_pair(changes, TENANT, "buildable", LABEL)).live


def _memory(valkey: Any) -> int:
    return int(valkey.info("memory")["used_memory"])


def _events(settings: Settings) -> list[str]:
    """Store events of one name, a millisecond apart, as the dialect would have; gives their keys."""
    data, first_ms = body(PAYLOAD).encode(), time.time_ns() // 1_000_000 - EVENTS_MADE
    keys = [str(uuid.uuid4()) for _ in range(EVENTS_MADE)]
    with storing(settings) as store:
        for n, key in enumerate(keys):
            attributes = {"specversion": "1.0", "id": key, "source": f"/buildable/live/{LABEL}", "type": NAME}
            attributes |= {"time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json", "environment": "live"}
            attributes |= {"platform": "custom", "label": LABEL, "tenantid": TENANT, "eventkey": key, "correlationid": key}
            event = Event(attributes, data)
            store.put(EVENTS.name(settings), data, record_key(event), headers_of(event), at_ms=first_ms + n)
    return keys


def _claims(settings: Settings, keys: list[str]) -> int:
    """Store a claim of half of the events under each transaction key; gives how many."""
    now, headers = time.time_ns() // 1_000_000, [(EPOCH_HEADER, b"9")]
    chosen = [(tx, n) for tx in range(TX_KEYS) for n in random.sample(range(EVENTS_MADE), EVENTS_MADE // 2)]
    with storing(settings) as store:
        for tx, n in chosen:
            place = Place(TENANT, "live", f"custom.{LABEL}.{NAME}", keys[n], now - EVENTS_MADE + n, f"service-{tx}")
            claim = begin(None, Move(State.CREATED, "0123456789ab", now, 900_000))
            value, partition = facts.encode(place, claim, None), place.ref.partition(settings.partitions)
            store.put(CLAIMS.name(settings), value, place.ref.record_key(9_000_001), headers, partition, now)
    return len(chosen)


async def _ask(url: str, secret: str, keys: list[str]) -> tuple[list[float], list[float], int]:
    headers = {"x-buildable-secret": secret}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        query = [await _page(session, n) for n in range(PAGES)]
        init, refused = await _claim(session, [key.replace("-", "") for key in random.sample(keys, CLAIMS_PER_S * SPAN_S)])
    return sorted(query), sorted(init), refused


async def _page(session: aiohttp.ClientSession, n: int) -> float:
    page = random.randint(1, EVENTS_MADE // 20 - 1) if n % 2 else random.randint(1, 5)
    asked = {"eventName": NAME, "txKey": f"service-{n % TX_KEYS}", "since": 0, "page": page, "pageSize": 10}
    began = time.perf_counter()
    async with session.post("/query", json=asked) as answer:
        document = await answer.json()
    took = (time.perf_counter() - began) * 1000
    if len(document["rows"]) != 10 or document["total"] != EVENTS_MADE // 2:
        raise RuntimeError(f"page {page}: {len(document['rows'])} rows of {document['total']}")
    return took


async def _claim(session: aiohttp.ClientSession, keys: list[str]) -> tuple[list[float], int]:
    took, refused, tasks, loop = list[float](), 0, list[asyncio.Task[None]](), asyncio.get_running_loop()

    async def claim(key: str) -> None:
        nonlocal refused
        began = time.perf_counter()
        async with session.post("/init", json={"key": key, "txKey": "another"}) as answer:
            await answer.read()
            refused += answer.status != 200
        took.append((time.perf_counter() - began) * 1000)

    start = loop.time()
    for n, key in enumerate(keys):
        await asyncio.sleep(max(0.0, start + n / CLAIMS_PER_S - loop.time()))
        tasks.append(loop.create_task(claim(key)))
    await asyncio.gather(*tasks)
    return took, refused


def report(found: Found) -> bool:
    """Print the figures beside what is asked; tells whether all of it is met."""
    shown = {
        "query p99 ms": found.query[len(found.query) * 99 // 100],
        "init p99 ms": found.init[len(found.init) * 99 // 100],
        "bytes per event": found.event_bytes,
        "bytes per claim": found.claim_bytes,
    }
    print(f"\nquery p50 {found.query[len(found.query) // 2]:.1f} ms, init p50 {found.init[len(found.init) // 2]:.1f} ms")
    for name, value in shown.items():
        print(f"{name:16} {value:8.1f}   (asked: at most {TARGETS[name]:g})")
    print(f"refused claims: {found.refused}; the view was rebuilt in {found.rebuild_s:.1f} s")
    return not found.refused and all(value <= TARGETS[name] for name, value in shown.items())
