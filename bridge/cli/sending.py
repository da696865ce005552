# SPDX-License-Identifier: Apache-2.0
"""
Test events for `evb trigger`: how one is written for a door, sent at a rate, and followed to its end.

Two schemes: `none` posts native CloudEvents with an API key, `github` posts webhooks signed as GitHub signs them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import quote

import orjson
from uuid_utils import uuid7

from bridge.cli.client import CONNECTIONS, Api
from bridge.domain.errors import BridgeError, Misconfigured, Unavailable

LONGEST_WAIT_S = 30.0
"""What the server waits at most in one look-up."""
GREETING = b'{"message": "Hello from evb trigger"}'


@dataclass(frozen=True, slots=True)
class Post:
    """One request that ends in an event."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    with_key: bool = True


@dataclass(slots=True)
class Sent:
    """What became of one test event: the receipt's parts, the time to the answer, and the look-up or the error."""

    status: int = 0
    key: str = ""
    ms: float = 0
    took_ms: float = 0
    outcome: Mapping[str, Any] | None = None
    error: BridgeError | TimeoutError | None = field(default=None)


def native(event_type: str, source: str, body: bytes) -> Post:
    """Write a CloudEvent in binary mode with an id of its own; JSON where the data is JSON, else bytes."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(uuid7()),
        "ce-source": quote(source, safe="/:?#[]@!$&'()*+,;=%"),
        "ce-type": event_type,
    }
    return Post("/events", body, headers | {"content-type": "application/json" if _is_json(body) else "application/octet-stream"})


def github(event_type: str, source: str, body: bytes, secret: str) -> Post:
    """Write a webhook as GitHub sends it; `source` is the name of the signing secret's source, or empty for the bare path."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/evb-trigger",
        "x-github-event": event_type.removeprefix("github."),
        "x-github-delivery": str(uuid7()),
        "x-hub-signature-256": f"sha256={signature}",
    }
    return Post(f"/fx/events/webhook{'/' if source else ''}{quote(source, safe='')}", body, headers, with_key=False)


def github_example(event_type: str) -> bytes:
    """
    Give a payload in the full shape that GitHub documents.

    Raises: Misconfigured, naming the types that have one.
    """
    folder = resources.files("web.dialects.fx") / "examples"
    known = {
        "github." + entry.name.removeprefix("github-").removesuffix(".json").replace("-", "_"): entry
        for entry in folder.iterdir()
        if entry.name.startswith("github-")
    }
    if event_type not in known:
        raise Misconfigured(f"There is no example of {event_type!r}: give --data @FILE, or one of {', '.join(sorted(known))}.")
    return known[event_type].read_bytes()


async def send(api: Api, post: Post, *, wait_s: float) -> Sent:
    """Post one event and, with `wait_s`, follow it until it has ended or the time is over. Errors are kept, not raised."""
    sent, began = Sent(), time.perf_counter()
    try:
        reply = await api.post(post.path, post.body, post.headers, with_key=post.with_key)
        sent.key = reply.body.get("key") or reply.body.get("cid") or ""
        if not sent.key:
            raise Unavailable(f"{reply.status} without a receipt from {post.path}: is this an Event Bridge?")
        sent.status, sent.ms = reply.status, (time.perf_counter() - began) * 1000
        if wait_s:
            sent.outcome = await _followed(api, sent.key, wait_s)
    except (BridgeError, TimeoutError) as err:
        sent.error = err
    sent.took_ms = (time.perf_counter() - began) * 1000
    return sent


async def send_all(
    api: Api, make: Callable[[], Post], *, count: int, rate: float, wait_s: float, report: Callable[[Sent], None]
) -> list[Sent]:
    """
    Send `count` events, `rate` of them a second (0: as fast as they are answered), at most 64 at a time.

    `report` is called for each as it ends.
    """
    free, began = asyncio.Semaphore(CONNECTIONS), time.perf_counter()

    async def one(number: int) -> Sent:
        if rate:
            await asyncio.sleep(began + number / rate - time.perf_counter())
        async with free:
            sent = await send(api, make(), wait_s=wait_s)
        report(sent)
        return sent

    return await asyncio.gather(*(one(number) for number in range(count)))


async def _followed(api: Api, key: str, wait_s: float) -> Mapping[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        left = max(0.0, deadline - time.monotonic())
        reply = await api.get(f"/events/{quote(key, safe='')}", wait_s=round(min(LONGEST_WAIT_S, left), 3))
        if reply.body["settled"] or time.monotonic() >= deadline:
            return reply.body


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True
