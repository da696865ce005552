# SPDX-License-Identifier: Apache-2.0
"""
One request through its route, for both doors: the handler's answer, or the problem document of what it raised.

The first of the edges where every exception ends: nothing that a handler does may reach the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.domain.errors import BridgeError
from bridge.logs import get
from web.http import problems
from web.http.limits import Header
from web.http.messages import Answer, Request, Route

if TYPE_CHECKING:
    from web.services import Services

LOG = get("web")
ALWAYS: tuple[Header, ...] = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


async def exchange(route: Route, request: Request, services: Services) -> Answer:
    """Answer a request; never raises but for cancellation."""
    try:
        return await route.handler(request, services)
    except BridgeError as err:
        answer = refuse(err, request.request_id, route)
        err.__traceback__ = None  # its frames hold the future that holds it: megabytes until the collector comes by
        return answer
    except Exception as err:  # noqa: BLE001  the edge: a fault of ours costs this request only, and its cause goes to the log
        return crash(err, request.request_id, route)


def refuse(error: BridgeError, request_id: str, route: Route | None = None) -> Answer:
    """Give the answer of a known error in the route's form, and log it where it is our own fault."""
    if error.status == BridgeError.status:
        LOG.error("request failed", request_id=request_id, error=str(error))
    return _written(error, request_id, route)


def crash(error: Exception, request_id: str, route: Route | None = None) -> Answer:
    """Log an unforeseen error with its stack and give the answer that shows none of it."""
    LOG.error("request crashed", request_id=request_id, exc_info=error)
    return _written(BridgeError(), request_id, route)


def _written(error: BridgeError, request_id: str, route: Route | None) -> Answer:
    failure = route.failure if route is not None else None
    return (failure or problems.answer_of)(error, request_id)


def headers_of(answer: Answer, request_id: str) -> list[Header]:
    """Give the header fields as they are sent: the answer's own, then those of every answer."""
    own = any(name == ALWAYS[0][0] for name, _ in answer.headers)  # an answer may say itself who may keep it
    return [*answer.headers, *(ALWAYS[1:] if own else ALWAYS), ("x-request-id", request_id)]
