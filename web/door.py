# SPDX-License-Identifier: Apache-2.0
"""
The RSGI application that granian serves: the dialects' routes on the event loop, everything else through Flask in threads.

One per server process. It reads bounded bodies, keeps the deadlines, and sends exactly one answer to every request. It must
never block the loop: no file, no name look-up, no Redis client but the pipe. Why RSGI: docs/decisions/0045-rsgi-door.md.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # exported without saying so

from bridge import logs, metrics
from bridge.domain.errors import BridgeError, Unavailable
from bridge.domain.limits import ANSWER_S
from bridge.garbage import collect_seldom
from bridge.logs import get
from bridge.settings import Settings, load
from web import lifeline, wsgi
from web.access_log import AccessLog
from web.app import create_app
from web.call import Call
from web.counting import Tally
from web.deadlines import Deadlines
from web.http import rules
from web.http.exchange import crash, exchange, refuse
from web.http.faults import BodyTimeout, MalformedRequest
from web.http.limits import Header
from web.http.messages import Answer, Request, Route
from web.services import Services
from web.startup import close_services, open_services
from web.table import table

LOG = get("web")
FLASK_THREADS = 8
STARTING_S = 4.0
"""How long a request waits for the server to have started; then it is told so with a 503."""
CLOSE_S = 8.0
"""How long the answers that are on their way may take once the server was told to stop."""


def from_environment() -> Door:
    """Make the application of one server process; granian calls it in each (`web.server`)."""
    settings = load()
    logs.configure(settings)
    metrics.forget_dead()
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        lifeline.follow(server.pid)
    return Door(settings)


class Door:
    """The application. granian calls the three methods whose names have underscores."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = table(settings)
        self._services: Services | None = None
        self._flask: wsgi.Application = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reading = Deadlines(loop, self._settings.read_timeout_s)
        self._answering = Deadlines(loop, ANSWER_S)
        self._pool = ThreadPoolExecutor(FLASK_THREADS, "flask")
        self.log = AccessLog(self._settings)
        self._tally = Tally(loop)
        self._opening = loop.create_task(self._open())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._close())
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.log.close()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        call = Call(self.log, scope, protocol, self._tally)
        try:
            headers = header_map(scope.headers)
            call.request_id = rules.request_id_of(headers)
            check_all_read(scope.headers, headers)
            await self._answer(call, scope, protocol, headers)
        except BridgeError as err:
            call.answer(refuse(err, call.request_id, call.route))
        except ProtocolClosed:
            call.gone()
        except Exception as err:  # noqa: BLE001  the edge: whatever happens, the client gets an answer and the log the cause
            call.answer(crash(err, call.request_id, call.route))

    async def _answer(self, call: Call, scope: Any, protocol: Any, headers: Mapping[str, str]) -> None:
        method, path = call.method, call.path
        rules.check_path(path)
        found = self._table.find(method, path)
        services = self._services
        if found is not None and services is None:
            # The port is open before we are: whoever comes in a start waits for it rather than be refused.
            await asyncio.wait({self._opening}, timeout=STARTING_S)
            services = self._services
        if found is None or services is None:
            await self._through_flask(call, scope, protocol, headers)
            return
        route, params = found
        call.dialect, call.route = route.dialect, route
        body = await self._body(call, protocol, headers, route)
        request = Request(method, path, headers, body, scope.query_string, params, call.request_id)
        if not route.reads_body:
            call.answer(await exchange(route, request, services))
            return
        self._answering.add(call, call.late)
        try:
            call.answer(await exchange(route, request, services))
        finally:
            self._answering.remove(call)

    async def _body(self, call: Call, protocol: Any, headers: Mapping[str, str], route: Route | None) -> bytes:
        """
        Read the body that the headers announced; nothing of it where it is too long.

        The announced length bounds what granian gathers. A body that stops short of it is cut at the deadline.
        """
        limit = (route.max_body if route is not None else 0) or self._settings.max_body_bytes
        length = rules.body_length(headers, limit, demanded=route is not None and route.reads_body)
        if length == 0:
            return b""
        if route is not None and not route.reads_body:
            raise MalformedRequest("This request must not have a body.")
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(call, task.cancel)
        try:
            return bytes(await protocol())
        except asyncio.CancelledError:
            raise BodyTimeout(self._settings.read_timeout_s) from None
        finally:
            self._reading.remove(call)

    async def _through_flask(self, call: Call, scope: Any, protocol: Any, headers: Mapping[str, str]) -> None:
        body = await self._body(call, protocol, headers, None)
        if self._flask is None:
            call.answer(_starting(call))
            return
        request = Request(call.method, call.path, headers, body, scope.query_string, request_id=call.request_id)
        answer = await self._loop.run_in_executor(
            self._pool, wsgi.call, self._flask, request, wsgi.Peer(scope.scheme, scope.authority or "", scope.client)
        )
        call.send(answer, list(answer.headers))

    async def _open(self) -> None:
        try:
            services = await open_services(self._settings, self._loop)
            self._flask = create_app(services, self._loop)
            self._services = services
            collect_seldom()
        except Exception as err:
            LOG.critical("the web server cannot start", exc_info=err)
            os._exit(1)

    async def _close(self) -> None:
        self._opening.cancel()
        if self._services is not None:
            await close_services(self._services, CLOSE_S)


def header_map(given: Any) -> dict[str, str]:
    """Give the headers as a mapping of lower-case names; a repeated one is joined with a comma."""
    items: list[Header] = given.items()
    headers = dict(items)
    if len(headers) != len(items):
        headers = {}
        for name, value in items:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def check_all_read(given: Any, headers: Mapping[str, str]) -> None:
    """
    Raise MalformedRequest where a header's value is not printable ASCII.

    granian leaves such values out and keeps their names: the request is refused rather than read without them.
    """
    names = given.keys()
    if len(names) != len(headers):
        raise rules.not_ascii(next(name for name in names if name not in headers))


def _starting(call: Call) -> Answer:
    if call.path == "/livez":
        return Answer(200, b"ok\n", (("content-type", "text/plain; charset=utf-8"),))
    return refuse(Unavailable("The server is starting."), call.request_id)
