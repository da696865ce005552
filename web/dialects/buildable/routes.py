# SPDX-License-Identifier: Apache-2.0
"""The operations of the Buildable document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from uuid_utils import uuid7

from bridge.authenticate import PairHolder, by_pair
from bridge.claims.claims import Holder, Which
from bridge.claims.lists import Listed, Query
from bridge.cloudevents import syntax
from bridge.domain.errors import NotFound, UnsupportedMedia
from bridge.domain.limits import LOOP_BYTES, MOST_BODY_BYTES
from web.dialects.buildable import requests, translate, wire
from web.dialects.buildable.failures import answer_of
from web.http.limits import quota_headers
from web.http.messages import Answer, Handler, Request, Route
from web.services import Services

SECRET: Final = "x-buildable-secret"  # noqa: S105  the name of a header
DIALECT: Final = "buildable"
JSON_ANSWER = (("content-type", "application/json"),)


async def say_alive(_request: Request, _services: Services) -> Answer:
    """Answer `GET /`."""
    return Answer(200)


async def emit(request: Request, services: Services) -> Answer:
    """Answer `POST /emit`: the event is in Kafka, and in the list of its name."""
    caller, holder = _caller(request, services)
    asked: requests.Emit = await _read(request, requests.emit)
    draft = translate.draft(asked, holder, caller.name, str(uuid7()), _now())
    accepted = await services.intake.accept([draft], caller.principal)
    receipt = accepted.receipts[0]
    await services.lists.add(holder.tenant, receipt, draft)
    shown = wire.write({"status": "success", "key": translate.key_of(receipt.key)})
    return Answer(200, shown, (*JSON_ANSWER, *quota_headers(accepted.quotas)))


async def query(request: Request, services: Services) -> Answer:
    """Answer `POST /query` with a page of events."""
    caller, holder = _caller(request, services)
    asked: requests.Query = await _read(request, requests.query)
    labels = [pair.name for pair in services.registry.pairs(holder.tenant)]
    name = translate.full_name(asked.name, caller.name, labels)
    skip = (asked.page - 1) * asked.page_size
    wanted = Query(holder.tenant, holder.environment, name, asked.tx_key, asked.state, asked.since_ms, skip, asked.page_size)
    total, found = await services.lists.page(wanted)
    about = {"total": total, "page": asked.page, "pageSize": asked.page_size, "totalPages": -(-total // asked.page_size)}
    named = _named(services, holder)

    def answer() -> Answer:
        rows = [translate.event(one, holder.tenant, asked.tx_key, _keep_ms(services), named) for one in found]
        return _answer({"rows": rows} | about)

    return await asyncio.to_thread(answer)  # a page may have megabytes


async def init(request: Request, services: Services) -> Answer:
    """Answer `POST /init`: the event is the caller's, and nobody else's under this transaction key."""
    _, holder = _caller(request, services)
    asked: requests.Transition = await _read(request, requests.init)
    found = await services.claims.begin(holder, await _which(asked, holder, services))
    return _answer(_transaction(services, holder, found, asked.tx_key))


async def update(request: Request, services: Services) -> Answer:
    """Answer `POST /update` with the event."""
    _, holder = _caller(request, services)
    asked: requests.Transition = await _read(request, requests.update)
    found = await services.claims.advance(holder, await _which(asked, holder, services), asked.state)
    return _answer(_event(services, holder, found, asked.tx_key))


async def transact(request: Request, services: Services) -> Answer:
    """Answer `POST /transact` with the transaction."""
    _, holder = _caller(request, services)
    asked: requests.Transition = await _read(request, requests.transact)
    which = await _which(asked, holder, services)
    found = await services.claims.advance(holder, which, asked.state, asked.output)
    return _answer(_transaction(services, holder, found, asked.tx_key))


async def name_fully(request: Request, services: Services) -> Answer:
    """Answer `POST /get-full-event-name`."""
    caller, _ = _caller(request, services)
    asked: requests.Name = await _read(request, requests.full_name)
    return _answer({"fullName": translate.full_name(asked, caller.name)})


def _caller(request: Request, services: Services) -> tuple[PairHolder, Holder]:
    caller = by_pair(services.registry, DIALECT, request.headers.get(SECRET, ""))
    lease_ms = round(services.settings.claim_lease_s * 1000)
    return caller, Holder(caller.principal.tenant, caller.environment, caller.id, lease_ms)


async def _read(request: Request, into: Callable[[wire.Reader], Any]) -> Any:
    """Read the body; a large one in a thread: checking it would hold the loop up."""
    given = request.headers.get("content-type", "application/json")
    if not syntax.is_json(given) or syntax.charset(given) not in ("", "utf-8"):
        raise UnsupportedMedia(f"Send application/json in UTF-8, not {given[:100]!r}.")
    if len(request.body) > LOOP_BYTES:
        return await asyncio.to_thread(wire.read, request.body, into)
    return wire.read(request.body, into)


async def _which(asked: requests.Transition, holder: Holder, services: Services) -> Which:
    """Find the event that a transaction is about. Raises: NotFound, also where it has another name than the given one."""
    key = translate.event_key(asked.key)
    if key is None:
        raise NotFound("No such event.")
    if asked.event_name and not translate.fits(
        await services.lists.find(holder.tenant, holder.environment, key), asked.event_name
    ):
        raise NotFound("No such event of this name.")
    return Which(key, asked.tx_key)


def _event(services: Services, holder: Holder, found: Listed, tx_key: str) -> dict[str, Any]:
    return translate.event(found, holder.tenant, tx_key, _keep_ms(services), _named(services, holder))


def _transaction(services: Services, holder: Holder, found: Listed, tx_key: str) -> dict[str, Any]:
    return translate.transaction(found, tx_key, _keep_ms(services), _named(services, holder))


def _named(services: Services, holder: Holder) -> translate.Named:
    names = {pair.id: pair.name for pair in services.registry.pairs(holder.tenant)}
    return lambda id_: names.get(id_, id_)


def _keep_ms(services: Services) -> int:
    return services.settings.retention_hours * 3_600_000


def _answer(shown: dict[str, Any]) -> Answer:
    return Answer(200, wire.write(shown), JSON_ANSWER)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


OPERATIONS: Final[dict[str, Handler]] = {
    "/emit": emit,
    "/query": query,
    "/init": init,
    "/update": update,
    "/transact": transact,
    "/get-full-event-name": name_fully,
}


def routes(prefix: str) -> tuple[Route, ...]:
    """Give the routes at the document's own paths, and once more under a prefix where one is set."""
    found = [Route("GET", "/", say_alive, DIALECT)]
    for before in dict.fromkeys(("", prefix)):
        for path, handler in OPERATIONS.items():
            found.append(
                Route("POST", before + path, handler, DIALECT, reads_body=True, max_body=MOST_BODY_BYTES, failure=answer_of)
            )
    return tuple(found)
