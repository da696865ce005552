# SPDX-License-Identifier: Apache-2.0
"""Errors in the dialect's own form: `{"timestamp", "code", "reason", "message", "status", "cause"}`."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import ClassVar, Final

import msgspec

from bridge.domain.errors import BridgeError, InvalidEvent, NotAllowed, NotAuthenticated, Refused, TooManyRequests
from bridge.domain.moments import iso
from bridge.workflows.triggers import Quota, Refusal, exceeded
from web.http import problems
from web.http.limits import Header
from web.http.messages import Answer

JSON: Final = ("content-type", "application/json")
CHALLENGE: Final = ("www-authenticate", 'Bearer realm="event-bridge"')
TOO_LARGE: Final = {413: "PAYLOAD_TOO_LARGE"}
"""Python has renamed this status; the dialect's other names are those of `HTTPStatus`."""

_encode = msgspec.json.Encoder().encode


class NotStarted(Refused):
    """The dialect refuses with a code of its own, and 400."""

    status: ClassVar[int] = 400

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def answer_of(error: BridgeError, request_id: str) -> Answer:
    """Turn an error into its answer; what it says to HTTP itself is what other dialects' problem documents say."""
    kept = tuple(one for one in problems.answer_of(error, request_id).headers if one[0] in ("retry-after", "allow"))
    if isinstance(error, NotAuthenticated):
        kept = (CHALLENGE,)
    return _answer(_refusal(error), kept)


def _refusal(error: BridgeError) -> Refusal:
    if isinstance(error, NotStarted):
        return error.refusal
    if isinstance(error, TooManyRequests):
        full = error.violated[0]
        return exceeded(Quota(f"Runs in {full.window_s} s", full.limit - full.remaining, full.limit))
    if isinstance(error, NotAuthenticated):
        return Refusal(401, "UNAUTHORIZED", 401, error.title + ".")
    if isinstance(error, NotAllowed):
        return Refusal(403, "PERMISSION_DENIED", 403, "The token does not permit this.")
    said = error.title if error.status == BridgeError.status else error.detail
    if isinstance(error, InvalidEvent):
        said = " ".join(f"{one.pointer or 'The body'} {one.detail}." for one in error.faults)
    return Refusal(error.status, error.code.upper().replace("-", "_"), error.status, said)


def _answer(refusal: Refusal, headers: tuple[Header, ...]) -> Answer:
    shown = {
        "timestamp": iso(time.time_ns() // 1_000_000),
        "code": refusal.code,
        "reason": refusal.reason,
        "message": refusal.message,
        "status": f"{refusal.status} {TOO_LARGE.get(refusal.status) or HTTPStatus(refusal.status).name}",
        "cause": None,
    }
    return Answer(refusal.status, _encode(shown), (JSON, *headers))
