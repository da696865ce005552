# SPDX-License-Identifier: Apache-2.0
"""What Flask has of the request that it is answering, in our own shapes."""

from __future__ import annotations

import flask
from flask import g

from web.http import rules
from web.http.faults import MalformedRequest
from web.http.messages import Request


def headers_of_request() -> dict[str, str]:
    """Give the request's headers by lower-case name."""
    return {name.lower(): value for name, value in flask.request.headers.items()}


def body_of(headers: dict[str, str], limit: int, *, demanded: bool) -> bytes:
    """
    Read the body; with `demanded` there must be one, else there must be none.

    Raises: LengthRequired, TooLarge (more than `limit` bytes), MalformedRequest.
    """
    length = rules.body_length(headers, limit, demanded=demanded)
    if length and not demanded:
        raise MalformedRequest("This request must not have a body.")
    body: bytes = flask.request.environ["wsgi.input"].read(length) if length else b""
    if len(body) < length:
        raise MalformedRequest("The body is shorter than its Content-Length.")
    return body


def request_of(headers: dict[str, str], body: bytes, params: dict[str, str]) -> Request:
    """Give the request as the routes know it."""
    seen = flask.request
    return Request(seen.method, seen.path, headers, body, seen.query_string.decode("latin-1"), params, g.request_id)
