# SPDX-License-Identifier: Apache-2.0
"""What every management route begins and ends with: the caller, a bounded body or query, and an answer in JSON."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may manage `tenant`."""

    tenant: str
    request: Request


class Calling:
    """One per application."""

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self._services, self._loop = services, loop
        self._looking = threading.Lock()

    def begin(self, *, reads_body: bool = False, scope: Scope = Scope.ADMIN) -> Call:
        """Read the request and authenticate it. Raises: NotAuthenticated, NotAllowed, and what a body can be refused for."""
        headers = headers_of_request()
        request = request_of(headers, body_of(headers, BODY_BYTES, demanded=reads_body), {})
        asking = by_key(request, self._services, scope, bearer=True)
        return Call(asyncio.run_coroutine_threadsafe(asking, self._loop).result(ANSWER_S).tenant, request)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one request at a time read whole topics, since events are accepted meanwhile. Raises: Unavailable."""
        if not self._looking.acquire(blocking=False):
            raise Unavailable("Another request is reading the dead letters here. Try again.")
        try:
            yield
        finally:
            self._looking.release()


def answer(document: Mapping[str, Any]) -> Response:
    """Give a document as the answer."""
    return Response(orjson.dumps(document), content_type="application/json")
