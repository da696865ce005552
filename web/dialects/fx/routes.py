# SPDX-License-Identifier: Apache-2.0
"""The five operations of the FX document, and the webhook of a named source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from uuid_utils import uuid7

from bridge.cloudevents import syntax
from bridge.domain.errors import Fault, InvalidEvent, UnsupportedMedia
from bridge.domain.limits import LOOP_BYTES
from bridge.domain.principal import Scope
from bridge.domain.receipt import Draft
from bridge.domain.view import Tree
from web.dialects.fx import translate, wire
from web.http.auth import Caller, by_key, by_key_or_signature
from web.http.limits import quota_headers
from web.http.messages import Answer, Request, Route
from web.services import Services

FORM = "application/x-www-form-urlencoded"
LARGE_TREE = 200  # executions; more are written in a thread: a millisecond of the loop for each hundred
JSON_ANSWER = (("content-type", "application/json"),)


async def submit(request: Request, services: Services) -> Answer:
    """Answer `POST /fx/events`."""
    return await _take(request, services, _submitted)


async def submit_generic(request: Request, services: Services) -> Answer:
    """Answer `POST /fx/events/generic`."""
    return await _take(request, services, _generic)


async def receive_webhook(request: Request, services: Services) -> Answer:
    """Answer `POST /fx/events/webhook` and `/fx/events/webhook/{source}`."""
    return await _take(request, services, _webhook)


async def show_correlation(request: Request, services: Services) -> Answer:
    """Answer `GET /fx/cid/{cid}` with the executions of every event that the correlation id ties together."""
    principal = await by_key(request, services, Scope.STATUS_READ)
    tree = await services.status.correlation(principal.tenant, request.path_params["cid"])
    large = len(tree.executions) > LARGE_TREE
    return Answer(200, await asyncio.to_thread(_written, tree) if large else _written(tree), JSON_ANSWER)


async def show_execution(request: Request, services: Services) -> Answer:
    """Answer `GET /fx/executions/{execution_id}`."""
    principal = await by_key(request, services, Scope.STATUS_READ)
    execution = await services.status.execution(principal.tenant, request.path_params["execution_id"])
    return Answer(200, wire.write(translate.execution_result(execution)), JSON_ANSWER)


def _written(tree: Tree) -> bytes:
    return wire.write({"cid": tree.correlation_id, "executions": [translate.execution_result(one) for one in tree.executions]})


def webhook_json(request: Request) -> bytes:
    """
    Give the JSON of a webhook: the body, or the `payload` field of a form, which is GitHub's other content type.

    Raises: InvalidEvent for a form without exactly one payload, UnsupportedMedia.
    """
    if syntax.media_type(request.headers.get("content-type", "")) != FORM:
        _demand_json(request)
        return request.body
    _refuse_encoding(request)
    try:
        fields = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as err:
        raise InvalidEvent(Fault("", "is not a form: percent-encoded UTF-8 is wanted")) from err
    payloads = [value for name, value in fields if name == "payload"]
    if len(payloads) != 1:
        raise InvalidEvent(Fault("/payload", "a form must have exactly one field `payload`"))
    return payloads[0].encode()


def _demand_json(request: Request) -> None:
    """Raise UnsupportedMedia for what does not declare JSON in UTF-8; a body without any declaration is read as JSON."""
    given = request.headers.get("content-type", "application/json")
    if not syntax.is_json(given) or syntax.charset(given) not in ("", "utf-8"):
        raise UnsupportedMedia(f"Send application/json in UTF-8, not {given[:100]!r}.")
    _refuse_encoding(request)


def _refuse_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMedia(f"Send the body without the content encoding {encoding[:100]!r}.")


def _origin(caller: Caller) -> translate.Origin:
    return translate.Origin(
        event_id=str(uuid7()),
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        source=translate.source_of(caller.source),
        event_type=caller.event_type,
        may_correlate=caller.principal.may(Scope.CORRELATION_SET),
    )


async def _take(request: Request, services: Services, read: Callable[[Request, translate.Origin], Draft]) -> Answer:
    """Authenticate, read and accept one event. A large body is read in a thread: checking it would hold the loop up."""
    caller = await by_key_or_signature(request, services, Scope.EVENTS_WRITE, source=request.path_params.get("source"))
    origin = _origin(caller)
    large = len(request.body) > LOOP_BYTES
    draft = await asyncio.to_thread(read, request, origin) if large else read(request, origin)
    accepted = await services.intake.accept([draft], caller.principal)
    receipt = accepted.receipts[0]
    location = f"/fx/cid/{quote(receipt.correlation_id, safe='')}"
    headers = (*JSON_ANSWER, ("location", location), *quota_headers(accepted.quotas))
    return Answer(202, wire.write_created(receipt.correlation_id, receipt.type), headers)


def _submitted(request: Request, origin: translate.Origin) -> Draft:
    _demand_json(request)
    return translate.submitted(*wire.read_event(request.body), origin)


def _generic(request: Request, origin: translate.Origin) -> Draft:
    _demand_json(request)
    wire.check_json(request.body)
    return translate.generic(request.body, origin)


def _webhook(request: Request, origin: translate.Origin) -> Draft:
    body = webhook_json(request)
    wire.check_json(body)
    event, delivery = (request.headers.get(name) for name in ("x-github-event", "x-github-delivery"))
    return translate.webhook(body, event, delivery, origin)


ROUTES = (
    Route("POST", "/fx/events", submit, "fx", reads_body=True),
    Route("POST", "/fx/events/generic", submit_generic, "fx", reads_body=True),
    Route("POST", "/fx/events/webhook", receive_webhook, "fx", reads_body=True),
    Route("POST", "/fx/events/webhook/{source}", receive_webhook, "fx", reads_body=True),
    Route("GET", "/fx/cid/{cid*}", show_correlation, "fx"),
    Route("GET", "/fx/executions/{execution_id}", show_execution, "fx"),
)
