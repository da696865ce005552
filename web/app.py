# SPDX-License-Identifier: Apache-2.0
"""
The whole Flask application: every route of every dialect, health, metrics and the pages of the problem types.

Behind the RSGI door it answers what the door's table does not hold. Under any other WSGI server, and in tests, it answers
everything: its views hand the same handlers to the services' event loop and wait. Nothing here runs on that loop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as TooLate
from typing import Any

import flask
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from bridge.domain.errors import BridgeError, BrokerUnavailable, NotFound
from bridge.domain.limits import ANSWER_S
from web import pages
from web.api import deadletters, entities
from web.call import OTHER, UNCONFIRMED
from web.counting import count
from web.http import rules
from web.http.exchange import ALWAYS, crash, exchange, refuse
from web.http.messages import Answer, Route
from web.http.seen import body_of, headers_of_request, request_of
from web.http.translation import of_http_exception
from web.services import Services
from web.table import table

LONGEST_S = 130.0
"""A look-up may wait for an event's end (long poll); nothing waits longer than this."""


def create_app(services: Services, loop: asyncio.AbstractEventLoop) -> Flask:
    """Make the application over services that live on a running loop of another thread."""
    app = Flask("event-bridge", static_folder=None)
    app.url_map.merge_slashes = False  # //fx/events is another path, as it is at the RSGI door, not a redirect
    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(BridgeError, lambda err: _response(refuse(err, g.request_id, g.route)))
    app.register_error_handler(Exception, lambda err: _response(crash(err, g.request_id, g.route)))
    for route in table(services.settings).routes:
        view = _view(route, services, loop)
        rule = re.sub(r"{(\w+)}", r"<\1>", re.sub(r"{(\w+)\*}", r"<path:\1>", route.path))
        name = f"{route.method} {route.path}".replace(".", "")
        app.add_url_rule(rule, name, view, methods=[route.method], provide_automatic_options=False)
    app.register_blueprint(pages.blueprint(services, loop))
    app.register_blueprint(deadletters.blueprint(services, loop))
    app.register_blueprint(entities.blueprint(services, loop))
    return app


def _view(route: Route, services: Services, loop: asyncio.AbstractEventLoop) -> Callable[..., Response]:
    def view(**params: str) -> Response:
        g.dialect, g.route = route.dialect, route
        headers = headers_of_request()
        limit = route.max_body or services.settings.max_body_bytes
        request = request_of(headers, body_of(headers, limit, demanded=route.reads_body), params)
        answering = asyncio.run_coroutine_threadsafe(exchange(route, request, services), loop)
        try:
            return _response(answering.result(ANSWER_S if route.reads_body else LONGEST_S))
        except TooLate:  # the handler goes on: what it accepts is stored, although this client was not told
            raise BrokerUnavailable(UNCONFIRMED) from None

    return view


def _begin() -> None:
    g.began, g.dialect, g.route = time.monotonic(), OTHER, None
    headers = headers_of_request()
    g.request_id = rules.request_id_of(headers)
    rules.check_header_values(headers)
    path = flask.request.environ["PATH_INFO"]
    rules.check_path(path.encode("latin-1").decode(errors="replace"))
    if path.startswith("//"):  # werkzeug would read it as /…, the RSGI door does not
        raise NotFound("There is nothing at this path.")


def _end(response: Response) -> Response:
    for name, value in (*ALWAYS, ("x-request-id", g.request_id)):
        response.headers.setdefault(name, value)
    if not flask.request.environ.get("event_bridge.door"):  # the door counts what it hands over itself
        count(g.dialect, response.status_code, time.monotonic() - g.began)
    return response


def _http_error(error: HTTPException) -> Any:
    known = of_http_exception(error)
    return error if known is None else _response(refuse(known, g.request_id))


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    del response.headers["Content-Type"]  # the answer says it itself, or has none
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response
