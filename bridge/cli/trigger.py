# SPDX-License-Identifier: Apache-2.0
"""`evb trigger`: send test events as a producer would, and follow what becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from bridge.cli.client import Api
from bridge.cli.events import execution_line
from bridge.cli.output import out, show_json
from bridge.cli.target import AsJson, Data, HttpTarget, Key, Url, http_target, signing_secret
from bridge.domain.errors import InvalidRequest

app = typer.Typer()

WAIT_S = 20.0
GITHUB = "github."


@dataclass(frozen=True, slots=True)
class Shot:
    """What to post, and where."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    with_key: bool


@app.command("trigger")
def trigger(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the event, e.g. order.created.")],
    payload: Annotated[str, typer.Option("--payload", help="JSON text, @file, or - for stdin.")] = '{"hello": "world"}',
    source: Annotated[str, typer.Option(help="The event's source.")] = "/evb/trigger",
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many.")] = 1,
    rate: Annotated[float, typer.Option(min=0.1, help="How many per second.")] = 100.0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow each event to its final status.")] = False,
    scheme: Annotated[Literal["none", "github"], typer.Option(help="github: a signed webhook to /fx/events/webhook.")] = "none",
    secret: Annotated[
        str | None, typer.Option(envvar="EVB_SIGNING_SECRET", help="Signing secret; default: the demo tenant's.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Send test events. Exit codes: 1 an execution failed, 4 not allowed, 5 no final status in time (with --wait)."""
    target = http_target(url, key, data)
    body = _payload(payload)
    signer = signing_secret(secret, data) if scheme == "github" else ""
    failed = asyncio.run(_send(target, event_type, body, source, signer, count, rate, wait=wait, as_json=as_json))
    if failed:
        raise typer.Exit(1)


async def _send(
    target: HttpTarget, kind: str, body: bytes, source: str, signer: str, count: int, rate: float, *, wait: bool, as_json: bool
) -> bool:
    failed = False
    async with Api(target) as api:
        start = time.monotonic()
        for n in range(count):
            await asyncio.sleep(max(0.0, start + n / rate - time.monotonic()))
            failed |= await _one(api, _shot(kind, body, source, signer), wait=wait, as_json=as_json)
    return failed


async def _one(api: Api, shot: Shot, *, wait: bool, as_json: bool) -> bool:
    """Post one event and show what was answered and, if asked, what became of it; tells whether an execution failed."""
    began = time.monotonic()
    reply = await api.post(shot.path, shot.body, shot.headers, with_key=shot.with_key)
    taken_ms = (time.monotonic() - began) * 1000
    event = reply.body.get("key") or reply.body["cid"]
    kind = reply.body.get("type") or reply.body["eventType"]
    found: Mapping[str, Any] = await _follow(api, event, began) if wait else {}
    if as_json:
        show_json({"receipt": reply.body, "event": found or None})
    else:
        out.print(f"{reply.status} accepted   {event}   {kind}   {taken_ms:.0f} ms", markup=False)
        for execution in found.get("executions", ()):
            out.print(execution_line(execution), markup=False)
        if wait:
            out.print(f"Done in {(time.monotonic() - began) * 1000:.0f} ms.", markup=False)
    return any(execution["status"] == "failed" for execution in found.get("executions", ()))


async def _follow(api: Api, event: str, began: float) -> Mapping[str, Any]:
    """Wait until every execution of an event is final. Raises: TimeoutError."""
    found = (await api.get(f"/events/{event}", wait_s=WAIT_S)).body
    if any(execution["status"] in ("pending", "in progress") for execution in found["executions"]):
        raise TimeoutError(f"{event} has no final status after {time.monotonic() - began:.0f} s. Does a worker run? `evb doctor`")
    return found


def _shot(kind: str, body: bytes, source: str, signer: str) -> Shot:
    if signer:
        signature = hmac.new(signer.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": f"sha256={signature}", "x-github-delivery": str(uuid.uuid4())}
        headers |= {"x-github-event": kind.removeprefix(GITHUB), "content-type": "application/json"}
        return Shot("/fx/events/webhook", body, headers, with_key=False)
    headers = {"ce-specversion": "1.0", "ce-id": str(uuid.uuid4()), "ce-source": source, "ce-type": kind}
    return Shot("/events", body, headers | {"content-type": "application/json"}, with_key=True)


def _payload(given: str) -> bytes:
    """Give the bytes to send, as they are. Raises: InvalidRequest where they are not JSON."""
    body = sys.stdin.buffer.read() if given == "-" else Path(given[1:]).read_bytes() if given[:1] == "@" else given.encode()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise InvalidRequest(f"--payload is not JSON: {err}.") from err
    return body
