# SPDX-License-Identifier: Apache-2.0
"""The operations of the Event Ingress document, and the tokens that open them."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from uuid_utils import uuid7

from bridge.domain.errors import Fault
from bridge.domain.principal import Principal, TokenScope
from bridge.registry.event_types import create_event_type, delete_event_type, replace_event_type
from bridge.registry.ingress import EventType
from bridge.registry.system_types import SYSTEM_TYPES
from web.dialects.eventingress import polling, requests, token, translate
from web.dialects.eventingress.calling import Operation, called, correlation_of
from web.dialects.eventingress.failures import JSON, answer_of, refusal
from web.dialects.eventingress.reading import read
from web.http.messages import Answer, Request, Route
from web.services import Services

DIALECT: Final = "eventingress"
RETIRED: Final = "This endpoint is obsolete and was terminated on {}"

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


async def list_business_processes(_request: Request, services: Services, _caller: Principal) -> Answer:
    """Answer `GET /v1/business-process-types`."""
    return _answer(translate.business_processes(services.ingress.processes()))


async def list_event_types(_request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `GET /v1/event-types`: those that everybody has, then the tenant's own."""
    own = services.registry.ingress.event_types(caller.tenant)
    return _answer(translate.event_types(SYSTEM_TYPES.values(), own))


async def add_event_type(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `POST /v1/event-types`."""
    await create_event_type(services.changes, await _event_type(request, services, caller))
    return _answer(None)


async def update_event_type(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `PUT /v1/event-types`: the subtypes are replaced as a whole."""
    await replace_event_type(services.changes, await _event_type(request, services, caller))
    return _answer(None)


async def remove_event_type(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `DELETE /v1/event-types/{eventType}`."""
    await delete_event_type(services.changes, caller.tenant, request.path_params["event_type"])
    return _answer(None)


async def send(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `POST /v1/events`: 202 once Kafka has the message, which is then in the list of messages."""
    correlation_id, faults = correlation_of(request), []
    if len(correlation_id) > requests.CORRELATION_CHARS:
        faults.append(Fault("x-correlation-id", f"is longer than {requests.CORRELATION_CHARS} characters"))
    types = services.registry.ingress.event_type
    asked = await read(request, lambda given: requests.sent(given, lambda key: types(caller.tenant, key)), *faults)
    await _weigh(services, caller.tenant, asked.subtype.business_process)
    draft = translate.draft(asked, correlation_id, str(uuid7()), time.time_ns() // 1_000_000)
    receipt = (await services.intake.accept([draft], caller)).receipts[0]
    await services.ingress.messages.add(caller.tenant, receipt, draft)
    return _answer({"eventId": receipt.key, "timeStamp": translate.moment(receipt.accepted_ms)}, 202)


async def show_event(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `GET /v1/events/{eventId}`."""
    found = await services.ingress.messages.find(caller.tenant, request.path_params["event_id"].lower())
    return _answer(translate.message(found))


async def list_events(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `POST /v1/events-by-filter-paginated`: the oldest first, so that a page stays what it was."""
    asked = await read(request, requests.filter_)
    page = await services.ingress.messages.page(caller.tenant, asked.since_ms, asked.until_ms, asked.first, asked.after)
    items = [translate.message(one) for one in page.messages]
    after = requests.token_of(page.end) if page.end is not None and page.more else None
    return _answer({"items": items, "nextToken": after, "hasNextPage": after is not None})


def retired(date: str) -> Operation:
    """Make the operation of an endpoint that the vendor has ended on a date."""

    async def refuse(_request: Request, _services: Services, _caller: Principal) -> Answer:
        return refusal(410, RETIRED.format(date), "OBSOLETE_ENDPOINT")

    return refuse


async def _event_type(request: Request, services: Services, caller: Principal) -> EventType:
    offered = services.ingress.processes()
    return await read(request, lambda given: requests.event_type(given, caller.tenant, offered))


async def _weigh(services: Services, tenant: str, process: str) -> None:
    """Count what a message weighs, where the tenant's messages are weighed. Raises: TooManyRequests."""
    points = services.registry.ingress_points(tenant)
    weight = points.weights.get(process, 0)
    if weight and points.windows:
        await services.ingress.points.count(tenant, points.windows, weight)


def _answer(data: Any, status: int = 200) -> Answer:
    return Answer(status, _encode({"data": data, "messages": None}), (JSON,))


def later(name: str) -> Operation:
    """Give an operation of `webhooks`, which is loaded when it is first asked for: it brings an HTTP client with it."""

    async def operation(request: Request, services: Services, caller: Principal) -> Answer:
        from web.dialects.eventingress import webhooks

        found: Operation = getattr(webhooks, name)
        return await found(request, services, caller)

    return operation


OPERATIONS: Final[tuple[tuple[str, str, Operation], ...]] = (
    ("GET", "/v1/business-process-types", list_business_processes),
    ("GET", "/v1/event-types", list_event_types),
    ("POST", "/v1/event-types", add_event_type),
    ("PUT", "/v1/event-types", update_event_type),
    ("DELETE", "/v1/event-types/{event_type}", remove_event_type),
    ("POST", "/v1/events", send),
    ("GET", "/v1/events/{event_id}", show_event),
    ("POST", "/v1/events-by-filter-paginated", list_events),
    ("POST", "/v1/events-by-filter", retired("2026-02-01")),
    ("GET", "/v1/events/types", retired("2024-04-30")),
)

NOTIFICATIONS: Final[tuple[tuple[str, str, Operation], ...]] = (
    ("GET", "/v2/event-notification-types", polling.list_types),
    ("GET", "/v2/{feed_id}/next", polling.next_batch),
    ("POST", "/v2/{feed_id}/{batch_id}/complete", polling.complete),
    ("PUT", "/v2/{feed_id}/discardAll", polling.discard_all),
)

WEBHOOKS: Final[tuple[tuple[str, str, Operation], ...]] = (
    ("GET", "/v1/webhooks", later("list_webhooks")),
    ("POST", "/v1/webhooks", later("add_webhook")),
    ("GET", "/v1/webhooks/event-notification-types", polling.list_types),
    ("GET", "/v1/webhooks/{webhook_id}", later("show_webhook")),
    ("PUT", "/v1/webhooks/{webhook_id}", later("update_webhook")),
    ("DELETE", "/v1/webhooks/{webhook_id}", later("remove_webhook")),
    ("GET", "/v1/webhooks/{webhook_id}/test", later("test_webhook")),
)


def _routes(
    prefix: str, operations: Iterable[tuple[str, str, Operation]], scope: TokenScope, reads: Container[str]
) -> Iterator[Route]:
    """Make the routes of one part of the product, which a scope opens; `reads` are the methods that have a body."""
    for method, path, operation in operations:
        handler = called(operation, scope)
        yield Route(method, prefix + path, handler, DIALECT, reads_body=method in reads, failure=answer_of)


ROUTES: Final = (
    Route(
        "POST", "/connect/token", token.give_token, DIALECT, reads_body=True, max_body=token.BODY_BYTES, failure=token.answer_of
    ),
    *_routes("/eventingress", OPERATIONS, TokenScope.EVENT_INGRESS, ("POST", "PUT")),
    *_routes("/eventnotifications", NOTIFICATIONS, TokenScope.EVENT_NOTIFICATIONS, ()),
    *_routes("/webhooks", WEBHOOKS, TokenScope.WEBHOOKS, ("POST", "PUT")),
)
