# SPDX-License-Identifier: Apache-2.0
"""
What every operation begins with: the token, in the three places where callers of Flow carry it, or nobody's where that is set.

A token in the query ends up in the logs of whatever lies between; it counts only where `EVB_FLOW_QUERY_TOKENS` says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl

from bridge.authenticate import FlowCaller, by_flow_token
from bridge.domain.errors import NotAuthenticated
from bridge.domain.principal import FlowScope
from web.dialects.flow.requests import FIELDS
from web.http.messages import Answer, Handler, Request
from web.services import Services

QUERY: Final = "access_token"
PRIVATE: Final = ("cache-control", "private, no-store")
ANYBODY: Final = frozenset(scope.value for scope in FlowScope)

Operation = Callable[[Request, Services, FlowCaller], Awaitable[Answer]]


def called(operation: Operation, scope: FlowScope) -> Handler:
    """Make the handler of an operation that a scope opens; it is called with the token's holder."""

    async def handle(request: Request, services: Services) -> Answer:
        text = _of_query(request, services)
        caller = _caller(request, services, text)
        caller.require(scope)
        answer = await operation(request, services, caller)
        return answer if text is None else Answer(answer.status, answer.body, (*answer.headers, PRIVATE))

    return handle


def _caller(request: Request, services: Services, of_query: str | None) -> FlowCaller:
    """Raises: NotAuthenticated."""
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, token = given.strip().partition(" ")
        return by_flow_token(services.registry, token.strip() if scheme.lower() == "bearer" else given.strip())
    if of_query is not None:
        return by_flow_token(services.registry, of_query)
    tenant = services.settings.flow_anonymous_tenant
    if not tenant or not services.registry.active(tenant):
        raise NotAuthenticated
    return FlowCaller(tenant, "anonymous", ANYBODY)


def _of_query(request: Request, services: Services) -> str | None:
    """Give the token of the query where there is one that counts: not beside an `Authorization`, which wins."""
    if not services.settings.flow_query_tokens or "authorization" in request.headers:
        return None
    try:
        fields = parse_qsl(request.query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError:
        raise NotAuthenticated from None
    given = [value for name, value in fields if name == QUERY]
    return " ".join(given) if given else None  # two are none: no token has a blank
