# SPDX-License-Identifier: Apache-2.0
"""What every management route begins and ends with: the caller, a bounded body or query, and an answer in JSON."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson
from flask import Response

from bridge.domain.errors import Unavailable
from bridge.domain.limits import ANSWER_S
from bridge.domain.principal import Scope
from web.http.auth import by_key
from web.http.messages import Request
from web.http.seen import body_of, headers_of_request, request_of
from web.services import Services

BODY_BYTES = 64 * 1024
READERS, PATIENCE_S = 2, 10.0
"""So many read whole topics at a time, in one process, and others wait for so long."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may manage `tenant`."""

    tenant: str
    request: Request


class Calling:
    """One per application."""

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self._services, self._loop = services, loop
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._places = threading.BoundedSemaphore(READERS)

    def begin(self, *, reads_body: bool = False, scope: Scope = Scope.ADMIN) -> Call:
        """Read the request and authenticate it. Raises: NotAuthenticated, NotAllowed, and what a body can be refused for."""
        headers = headers_of_request()
        request = request_of(headers, body_of(headers, BODY_BYTES, demanded=reads_body), {})
        asking = by_key(request, self._services, scope, bearer=True)
        return Call(asyncio.run_coroutine_threadsafe(asking, self._loop).result(ANSWER_S).tenant, request)

    @contextmanager
    def alone(self, tenant: str) -> Iterator[None]:
        """Let a tenant do one thing at a time here, however long that takes. Raises: Unavailable."""
        turn = self._turns.setdefault(tenant, threading.Lock())
        if not turn.acquire(blocking=False):
            raise Unavailable("Another request of yours is at the dead letters here. Try again.")
        try:
            yield
        finally:
            turn.release()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let few requests at a time read whole topics, since events are accepted meanwhile. Raises: Unavailable."""
        if not self._places.acquire(timeout=PATIENCE_S):
            raise Unavailable("Others are reading the dead letters here. Try again.")
        try:
            yield
        finally:
            self._places.release()


def answer(document: Mapping[str, Any]) -> Response:
    """Give a document as the answer."""
    return Response(orjson.dumps(document), content_type="application/json")
