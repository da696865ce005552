# SPDX-License-Identifier: Apache-2.0
"""
A producer that remembers: posts events like a well-behaved client and keeps what it was told about each.

It repeats a request with the same id after a 503, a 429, a time-out or a broken connection, as every real webhook sender does.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass, replace
from random import Random

import aiohttp

from tests.chaos.accounting import ATTEMPTS, Sent


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of event of the chaos plugin: which share of the load, and what each must lead to."""

    name: str
    share: int
    status: str
    results: int
    process: str = ""
    type: str = ""
    attempts: int = ATTEMPTS
    data: str = ""
    """A body of its own, as JSON text; empty: the number and a note."""
    ordered: bool = False
    """Whether its results come in order also where attempts were repeated."""

    @property
    def handled_by(self) -> str:
        return self.process or f"chaos-{self.name}"

    @property
    def event_type(self) -> str:
        return self.type or f"chaos.{self.name}"


KINDS = (
    Kind("echo", 60, "completed", 1),
    Kind("nap", 20, "completed", 2),
    Kind("plain", 10, "completed", 1),
    Kind("fail", 6, "failed", 0),
    Kind("skip", 4, "skipped", 0),
)
GROUPS = 50
PATIENCE_S = 60.0  # how long a producer repeats one event before it gives up


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post (any of the URLs), and as whom: one API key per tenant."""

    urls: tuple[str, ...]
    api_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """So many events at a rate per second, with partition keys of its own. The same seed and name make the same events."""

    events: int
    rate: float
    seed: int
    name: str
    kinds: tuple[Kind, ...] = KINDS


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: when it began (seconds since the epoch), how long it took, what it was answered (0: nothing)."""

    began: float
    took_s: float
    status: int
    retry_after: str
    refused: bool = False  # the connection was not even made
    said: str = ""  # the beginning of an answer that is no 2xx


class Ledger:
    """
    Posts a load and keeps each event's fate and every attempt.

    Order: the events of one tenant and partition key are posted one after another, as a producer does that cares for it.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.attempts: list[Attempt] = []
        self._lanes: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def produce(self, load: Load, only: Container[int] | None = None) -> list[Sent]:
        """Post everything (or the events of these numbers), and return what became of each, as far as the client knows."""
        random = Random(load.seed)
        kinds = random.choices(load.kinds, [k.share for k in load.kinds], k=load.events)
        async with session() as client:
            loop, tasks = asyncio.get_running_loop(), []
            start = loop.time()
            for n, kind in enumerate(kinds):
                await asyncio.sleep(max(0.0, start + n / load.rate - loop.time()))
                owner, group = n % len(self.target.api_keys), f"{load.name}-{random.randrange(GROUPS)}"
                if only is None or n in only:
                    tasks.append(loop.create_task(self._in_turn(client, f"{load.name}-{n}", n, kind, owner, group)))
            return list(await asyncio.gather(*tasks))

    async def probe(self, id_: str, kind: Kind) -> tuple[Sent, Attempt]:
        """Post one event once, on a connection of its own and in no lane."""
        body, key = json.dumps({"n": -1}).encode(), self.target.api_keys[0]
        async with session() as client:
            attempt, _ = await post(client, self.target.urls[0] + "/events", body, _headers(id_, kind, key))
        verdict = "accepted" if attempt.status == 202 else "unknown"
        digest = hashlib.sha256(body).hexdigest()
        return Sent(id_, verdict, digest, kind.handled_by, kind.status, kind.results, attempts=kind.attempts), attempt

    async def _in_turn(self, client: aiohttp.ClientSession, id_: str, n: int, kind: Kind, owner: int, group: str) -> Sent:
        lane = f"{owner}/{group}"
        async with self._lanes[lane]:
            plain = json.dumps({"n": n, "note": "grüße " * (n % 40)}, ensure_ascii=False)
            body = (kind.data or plain).encode()
            headers = _headers(id_, kind, self.target.api_keys[owner]) | {"ce-partitionkey": group}
            verdict, receipt, began_ms = await self._post(client, n, body, headers)
        digest = hashlib.sha256(body).hexdigest()
        told = Sent(id_, verdict, digest, kind.handled_by, kind.status, kind.results, receipt)
        return replace(told, lane=lane, number=n, owner=owner, began_ms=began_ms, attempts=kind.attempts, ordered=kind.ordered)

    async def _post(self, client: aiohttp.ClientSession, n: int, body: bytes, headers: Headers) -> tuple[str, str, float]:
        """Repeat one event until it is accepted or refused; gives verdict, receipt and when the last attempt began."""
        verdict, pause, urls = "refused", 0.1, self.target.urls
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            attempt, text = await post(client, urls[n % len(urls)] + "/events", body, headers)
            self.attempts.append(attempt)
            if attempt.status == 202:
                return "accepted", json.loads(text)["key"], attempt.began * 1000
            if attempt.status not in (0, 429, 503):
                return f"answered {attempt.status}: {text[:200]}", "", attempt.began * 1000
            if attempt.status != 429:
                verdict = "unknown"  # the request may or may not have reached Kafka
            if attempt.status == 0:
                n += 1  # the next of the servers may live
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
        return verdict, "", 0.0


Headers = dict[str, str]


def _headers(id_: str, kind: Kind, api_key: str) -> Headers:
    return {
        "X-API-KEY": api_key,
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": id_,
        "ce-source": "/chaos",
        "ce-type": kind.event_type,
    }


def session() -> aiohttp.ClientSession:
    """Give a client that waits ten seconds for an answer."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), connector=aiohttp.TCPConnector(limit=300))


async def post(client: aiohttp.ClientSession, url: str, body: bytes, headers: Headers) -> tuple[Attempt, str]:
    """Make one attempt."""
    began, start = time.time(), time.monotonic()
    text, status, after, refused = "", 0, "", False
    try:
        async with client.post(url, data=body, headers=headers) as answer:
            text, status, after = await answer.text(), answer.status, answer.headers.get("Retry-After", "")
    except aiohttp.ClientConnectorError:
        refused = True
    except (aiohttp.ClientError, TimeoutError):
        status = 0
    return Attempt(began, time.monotonic() - start, status, after, refused, text[:300] if status >= 300 else ""), text


async def produce(target: Target, load: Load) -> list[Sent]:
    """Post a load with a ledger of its own."""
    return await Ledger(target).produce(load)
