# SPDX-License-Identifier: Apache-2.0
"""The native door: events in by the CloudEvents HTTP binding, the WebHook handshake, and the look-up of what became of them."""

from __future__ import annotations

import asyncio

from bridge.cloudevents import http, syntax
from bridge.domain.errors import UnsupportedMedia
from bridge.domain.event import Event
from bridge.domain.limits import LOOP_BYTES
from bridge.domain.principal import Scope
from bridge.domain.view import EventView
from web.dialects.cloudevents import handshake, translate, wire
from web.http.auth import API_KEY, by_key
from web.http.limits import quota_headers
from web.http.messages import Answer, Request, Route
from web.services import Services

JSON_ANSWER = (("content-type", "application/json"),)
ALLOW = ("allow", "POST, OPTIONS")


async def accept(request: Request, services: Services) -> Answer:
    """Answer `POST /events`: 202 once Kafka has every event of the request, else none of them counts."""
    principal = await by_key(request, services, Scope.EVENTS_WRITE, bearer=True)
    events = await _events(request)
    drafts = translate.drafts(events, may_correlate=principal.may(Scope.CORRELATION_SET))
    accepted = await services.intake.accept(drafts, principal)
    receipts = [translate.receipt(one, draft) for one, draft in zip(accepted.receipts, drafts, strict=True)]
    headers = (*JSON_ANSWER, *quota_headers(accepted.quotas))
    if syntax.media_type(request.headers.get("content-type", "")) == http.BATCH:
        return Answer(202, wire.write(receipts), headers)
    location = ("location", f"/events/{receipts[0].key}")
    return Answer(202, wire.write(receipts[0]), (*headers, location))


async def shake_hands(request: Request, services: Services) -> Answer:
    """Answer `OPTIONS /events`; with a key it speaks of that tenant's rate, else of a new tenant's."""
    tenant = ""
    if API_KEY in request.headers or "authorization" in request.headers:
        tenant = (await by_key(request, services, Scope.EVENTS_WRITE, bearer=True)).tenant
    windows = services.registry.windows(tenant)
    return Answer(200, b"", (ALLOW, *handshake.consent(request.headers, services.settings.allowed_origins, windows)))


async def show_event(request: Request, services: Services) -> Answer:
    """Answer `GET /events/{key}`, at once or when every execution has ended or `wait` seconds are over."""
    principal = await by_key(request, services, Scope.STATUS_READ, bearer=True)
    query = wire.read_query(request.query, by_id=False)
    key = request.path_params["key"]
    if query.wait_s:
        return _shown(await services.status.wait_final(principal.tenant, key, query.wait_s))
    return _shown(await services.status.event(principal.tenant, key))


async def find_event(request: Request, services: Services) -> Answer:
    """Answer `GET /events?source=&id=`: the latest event of that name, with `wait` as in `show_event`."""
    principal = await by_key(request, services, Scope.STATUS_READ, bearer=True)
    query = wire.read_query(request.query, by_id=True)
    view = await services.status.event_by_id(principal.tenant, query.source, query.id)
    if query.wait_s and not view.settled:
        view = await services.status.wait_final(principal.tenant, view.summary.key, query.wait_s)
    return _shown(view)


async def _events(request: Request) -> list[Event]:
    """Read the request's events; a large body in a thread, since checking it would hold the event loop up."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMedia(f"Send the body without the content encoding {encoding[:100]!r}.")
    if len(request.body) > LOOP_BYTES:
        return await asyncio.to_thread(http.read, request.headers, request.body)
    return http.read(request.headers, request.body)


def _shown(view: EventView) -> Answer:
    return Answer(200, wire.write(translate.event(view)), JSON_ANSWER)


ROUTES = (
    Route("POST", "/events", accept, "cloudevents", reads_body=True),
    Route("OPTIONS", "/events", shake_hands, "cloudevents"),
    Route("GET", "/events", find_event, "cloudevents"),
    Route("GET", "/events/{key}", show_event, "cloudevents"),
)
