# SPDX-License-Identifier: Apache-2.0
"""Errors in the dialect's own form: `{"status": "error", "name", "message", "code"}`, and every fault of a request."""

from __future__ import annotations

from typing import Any, Final

import orjson

from bridge.domain.errors import BridgeError, InvalidEvent, NotAuthenticated
from web.http import problems
from web.http.messages import Answer

NAMES: Final = {
    400: "invalid-request",
    401: "invalid-secret",
    403: "not-allowed",
    404: "not-found",
    408: "body-timeout",
    409: "conflict",
    411: "length-required",
    413: "too-large",
    415: "unsupported-media",
    429: "too-many-requests",
    503: "unavailable",
}


def answer_of(error: BridgeError, request_id: str) -> Answer:
    """Turn an error into its answer; its headers are those of the problem document that other dialects give."""
    problem = problems.answer_of(error, request_id)
    shown: dict[str, Any] = {
        "status": "error",
        "name": NAMES.get(error.status, "internal"),
        "message": _message(error),
        "code": error.status,
    }
    if isinstance(error, InvalidEvent):
        shown["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    headers = tuple((name, "application/json" if name == "content-type" else value) for name, value in problem.headers)
    return Answer(error.status, orjson.dumps(shown), headers)


def _message(error: BridgeError) -> str:
    if isinstance(error, NotAuthenticated):
        return "Invalid secret"
    return error.title if error.status == BridgeError.status else error.detail
