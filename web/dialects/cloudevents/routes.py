# SPDX-License-Identifier: Apache-2.0
"""The native door: events in by the CloudEvents HTTP binding, the WebHook handshake, and the look-up of what became of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from bridge.cloudevents import http
from bridge.domain.errors import UnsupportedMedia
from bridge.domain.limits import LOOP_BYTES
from bridge.domain.principal import Scope
from bridge.domain.view import EventView
from web.dialects.cloudevents import handshake, translate, wire
from web.http.auth import API_KEY, by_key
from web.http.limits import quota_headers
from web.http.messages import Answer, Request, Route
from web.services import Services

JSON_ANSWER = (("content-type", "application/json"),)
WRITE, CORRELATE = Scope.EVENTS_WRITE, Scope.CORRELATION_SET  # a member of an enum is looked up by a call
BARE_KEY = re.compile(r"[0-9a-f]{32}")
ALLOW = ("allow", "POST, OPTIONS")


async def accept(request: Request, services: Services) -> Answer:
    """Answer `POST /events`: 202 once Kafka has every event of the request, else none of them counts."""
    principal = await by_key(request, services, WRITE, bearer=True)
    _refuse_encoding(request.headers)
    given = request.headers, request.body
    large = len(request.body) > LOOP_BYTES  # checking it would hold the event loop up
    events = await asyncio.to_thread(http.read, *given) if large else http.read(*given)
    drafts = translate.drafts(events, may_correlate=principal.may(CORRELATE))
    accepted = await services.intake.accept(drafts, principal)
    headers = (*JSON_ANSWER, *quota_headers(accepted.quotas))
    if http.is_batch(request.headers):
        receipts = [translate.receipt(one, draft) for one, draft in zip(accepted.receipts, drafts, strict=True)]
        return Answer(202, wire.write(receipts), headers)
    (receipt,), (draft,) = accepted.receipts, drafts
    location = ("location", f"/events/{receipt.key}")
    return Answer(202, wire.write(translate.receipt(receipt, draft)), (*headers, location))


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
    key = _dashed(request.path_params["key"])
    if query.wait_s:
        return await _shown(await services.status.wait_final(principal.tenant, key, query.wait_s), services)
    return await _shown(await services.status.event(principal.tenant, key), services)


async def find_event(request: Request, services: Services) -> Answer:
    """Answer `GET /events?source=&id=`: the latest event of that name, with `wait` as in `show_event`."""
    principal = await by_key(request, services, Scope.STATUS_READ, bearer=True)
    query = wire.read_query(request.query, by_id=True)
    view = await services.status.event_by_id(principal.tenant, query.source, query.id)
    if query.wait_s and not view.settled:
        view = await services.status.wait_final(principal.tenant, view.summary.key, query.wait_s)
    return await _shown(view, services)


def _refuse_encoding(headers: Mapping[str, str]) -> None:
    if "content-encoding" in headers:
        encoding = headers["content-encoding"].strip().lower()
        if encoding != "identity":
            raise UnsupportedMedia(f"Send the body without the content encoding {encoding[:100]!r}.")


async def _shown(view: EventView, services: Services) -> Answer:
    found = await services.lists.claims_of(view.summary.tenant, view.summary.key)
    claims = {tx_key: claim for tx_key, (claim, _) in found.items()}
    return Answer(200, wire.write(translate.event(view, claims)), JSON_ANSWER)


def _dashed(key: str) -> str:
    """Take an event key as other dialects write it, without dashes, too."""
    plain = BARE_KEY.fullmatch(key)
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}" if plain else key


ROUTES = (
    Route("POST", "/events", accept, "cloudevents", reads_body=True),
    Route("OPTIONS", "/events", shake_hands, "cloudevents"),
    Route("GET", "/events", find_event, "cloudevents"),
    Route("GET", "/events/{key}", show_event, "cloudevents"),
)
