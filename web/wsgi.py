# SPDX-License-Identifier: Apache-2.0
"""
Call a WSGI application from an RSGI request, whole body in and whole answer out. Used by `web.door` for Flask.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from web.http.messages import Answer, Request

Application = Any  # a WSGI callable; the standard library has no precise type for it
PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class Peer(NamedTuple):
    """Who asked, and how: `http` or `https`, the URI's authority (may be empty), and the client's `address:port`."""

    scheme: str
    authority: str
    client: str


def call(application: Application, request: Request, peer: Peer) -> Answer:
    """Give the application's answer. Runs in a thread; the caller has read the body."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        started.append((status, headers))

    parts: Iterable[bytes] = application(_environ(request, peer), start_response)
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    status, headers = started[-1]
    kept = tuple((name.lower(), value) for name, value in headers if name.lower() != "content-length")
    return Answer(int(status[:3]), body, kept)


def _environ(request: Request, peer: Peer) -> dict[str, Any]:
    asked = request.headers.get("host") or peer.authority or "localhost"
    host, _, port = asked.rpartition(":")
    if not port.isdecimal():  # no port given: all of it was the host, or an IPv6 address
        host, port = asked, "443" if peer.scheme == "https" else "80"
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": peer.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if "_" not in name:  # x_api_key would pose as x-api-key
            environ[PLAIN.get(name) or "HTTP_" + name.upper().replace("-", "_")] = value
    environ.setdefault("HTTP_HOST", asked)
    environ["CONTENT_LENGTH"] = str(len(request.body))
    environ["HTTP_X_REQUEST_ID"] = request.request_id
    environ["event_bridge.door"] = True
    return environ
