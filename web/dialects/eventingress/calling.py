# SPDX-License-Identifier: Apache-2.0
"""
What every operation begins and ends with: the token, the tenant's windows, the header that names the tenant, and what an answer
says of them.

A request counts as soon as its token has named a tenant, whatever becomes of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bridge.domain.errors import BridgeError, NotAuthenticated, Quota, TooManyRequests
from bridge.domain.limits import Window
from bridge.domain.moments import iso
from bridge.domain.principal import Principal, TokenScope
from bridge.tokens.holder import TokenHolder
from web.dialects.eventingress.failures import answer_of, refusal
from web.dialects.eventingress.requests import CORRELATION_CHARS
from web.http.limits import Header
from web.http.messages import Answer, Handler, Request
from web.services import Services

TENANT: Final = "x-tenant-id"
CORRELATION: Final = "x-correlation-id"

OTHER_WINDOWS: Final = (Window(50, 1), Window(1500, 60))
"""How often a tenant may ask `/eventnotifications` and `/webhooks`, together."""

Operation = Callable[[Request, Services, Principal], Awaitable[Answer]]


def called(operation: Operation, scope: TokenScope) -> Handler:
    """
    Make the handler of an operation that a scope opens; it is called with the tenant's principal.

    Only what the scope of messages opens fills the tenant's windows, and tells of them; all else has one that is wide.
    """
    messages = scope is TokenScope.EVENT_INGRESS

    async def handle(request: Request, services: Services) -> Answer:
        holder = await services.ingress.tokens.holder(_bearer(request))
        state: tuple[Header, ...] = ()
        try:
            if messages:
                windows = services.registry.ingress_windows(holder.tenant)
                state = _left(await services.ingress.requests.count(holder.tenant, windows))
            else:
                await services.ingress.others.count(holder.tenant, OTHER_WINDOWS)
            answer = _stranger(request, holder)
            if answer is None:
                answer = await operation(request, services, holder.require(scope))
        except BridgeError as err:
            if err.status == BridgeError.status:  # a fault of ours: the edge logs it
                raise
            answer = answer_of(err, request.request_id)
            if messages and isinstance(err, TooManyRequests):
                state = _until(err.retry_after_s)
            err.__traceback__ = None  # as in web.http.exchange
        return Answer(answer.status, answer.body, (*answer.headers, *state, *_correlation(request)))

    return handle


def correlation_of(request: Request) -> str:
    """Give the caller's `X-Correlation-Id`; empty where there is none."""
    return request.headers.get(CORRELATION, "").strip()


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticated
    return token.strip()


def _stranger(request: Request, holder: TokenHolder) -> Answer | None:
    """Refuse a request that names no tenant, or another one than its token."""
    given = request.headers.get(TENANT, "").strip()
    if not given:
        return refusal(400, "The header X-TENANT-ID is required.", "MissingTenantHeader")
    if given != holder.tenant:
        return refusal(403, "The token is not one of the tenant that X-TENANT-ID names.", "FORBIDDEN", kind="Forbidden")
    return None


def _left(quotas: tuple[Quota, ...]) -> tuple[Header, ...]:
    """Tell of the tightest window: the one with the fewest requests left, of several the one that takes longest."""
    tightest = min(quotas, key=lambda quota: (quota.remaining, -quota.reset_s))
    return _headers(tightest.remaining, tightest.reset_s)


def _until(seconds: int) -> tuple[Header, ...]:
    return _headers(0, seconds)


def _headers(remaining: int, reset_s: int) -> tuple[Header, ...]:
    reset = iso(math.ceil(time.time() + reset_s) * 1000)  # rounded up: whoever waits for it does not come too early
    return ("x-rate-limit-remaining", str(remaining)), ("x-rate-limit-reset", reset)


def _correlation(request: Request) -> tuple[Header, ...]:
    given = correlation_of(request)
    return ((CORRELATION, given),) if 0 < len(given) <= CORRELATION_CHARS else ()
