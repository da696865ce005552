# SPDX-License-Identifier: Apache-2.0
"""
A producer that remembers: posts events like a well-behaved client and keeps what it was told about each.

It repeats a request with the same id after a 503, a 429, a time-out or a broken connection, as every real webhook sender does.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from random import Random

import aiohttp

from tests.chaos.accounting import Sent


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of event of the chaos plugin: which share of the load, and what each must lead to."""

    name: str
    share: int
    status: str
    results: int

    @property
    def process(self) -> str:
        return f"chaos-{self.name}"


KINDS = (
    Kind("echo", 60, "completed", 1),
    Kind("nap", 20, "completed", 2),
    Kind("plain", 10, "completed", 1),
    Kind("fail", 6, "failed", 0),
    Kind("skip", 4, "skipped", 0),
)
PATIENCE_S = 60.0  # how long a producer repeats one event before it gives up


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post, as whom."""

    url: str
    api_key: str


async def produce(target: Target, count: int, rate: float, seed: int, name: str) -> list[Sent]:
    """
    Post `count` events at `rate` per second and return what became of each, as far as the client knows.

    Again: the same seed and name make the same events.
    """
    random = Random(seed)
    kinds = random.choices(KINDS, [k.share for k in KINDS], k=count)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=200)) as session:
        loop, tasks = asyncio.get_running_loop(), []
        start = loop.time()
        for n, kind in enumerate(kinds):
            await asyncio.sleep(max(0.0, start + n / rate - loop.time()))
            tasks.append(loop.create_task(_post(session, target, f"{name}-{n}", n, kind, random.randrange(50))))
        return list(await asyncio.gather(*tasks))


async def _post(session: aiohttp.ClientSession, target: Target, event_id: str, n: int, kind: Kind, group: int) -> Sent:
    body = json.dumps({"n": n, "note": "grüße " * (n % 40)}, ensure_ascii=False).encode()
    headers = {
        "X-API-KEY": target.api_key,
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "/chaos",
        "ce-type": f"chaos.{kind.name}",
        "ce-partitionkey": f"group-{group}",
    }
    verdict, receipt = "refused", ""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    pause = 0.1
    while asyncio.get_running_loop().time() < deadline:
        status, text = await _try(session, target.url + "/events", body, headers)
        if status == 202:
            verdict, receipt = "accepted", json.loads(text)["key"]
            break
        if status not in (0, 429, 503):
            verdict = f"answered {status}: {text[:200]}"
            break
        if status != 429:
            verdict = "unknown"  # the request may or may not have reached Kafka
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1.0)
    return Sent(event_id, verdict, hashlib.sha256(body).hexdigest(), kind.process, kind.status, kind.results, receipt)


async def _try(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Make one attempt; status 0 stands for no answer at all."""
    try:
        async with session.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""
