# SPDX-License-Identifier: Apache-2.0
"""Errors in the dialect's own form: `{"data", "messages": [{"message", "type", "errorCode"}]}`, and every fault of a request."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from bridge.domain.errors import BridgeError, InvalidEvent, InvalidValue, NotAllowed, NotAuthenticated
from web.dialects.eventingress.wire import Wrong
from web.http import problems
from web.http.limits import Header
from web.http.messages import Answer

JSON: Final = ("content-type", "application/json")
INTERNAL: Final = "Internal server exception. Please, contact your provider."
VALIDATION: Final = "VALIDATION_ERROR"

_encode = msgspec.json.Encoder().encode


def answer_of(error: BridgeError, request_id: str) -> Answer:
    """Turn an error into its answer; what it says to HTTP itself is what other dialects' problem documents say."""
    if isinstance(error, NotAuthenticated):
        return Answer(401, _encode({"message": "Unauthorized"}), (JSON, ("www-authenticate", 'Bearer realm="event-bridge"')))
    kept = tuple(one for one in problems.answer_of(error, request_id).headers if one[0] in ("retry-after", "allow"))
    if isinstance(error, InvalidEvent):
        return _invalid(error, kept)
    if error.status == BridgeError.status:
        return refusal(500, INTERNAL, "INTERNAL_SERVER_ERROR", kept)
    code = "" if isinstance(error, InvalidValue) else error.code.upper().replace("-", "_")  # as the document's example
    return refusal(error.status, error.detail, code, kept, kind="Forbidden" if isinstance(error, NotAllowed) else "Error")


def refusal(status: int, message: str, code: str, headers: tuple[Header, ...] = (), *, kind: str = "Error") -> Answer:
    """Refuse a request for one reason."""
    said = {"message": message, "type": kind, "errorCode": code}
    return Answer(status, _encode({"data": None, "messages": [said]}), (JSON, *headers))


def _invalid(error: InvalidEvent, headers: tuple[Header, ...]) -> Answer:
    data: list[Any] = []
    messages = []
    for fault in error.faults:
        attempted, code = (fault.attempted, fault.code) if isinstance(fault, Wrong) else (None, VALIDATION)
        data.append({"propertyName": fault.pointer, "errorMessage": fault.detail, "attemptedValue": attempted, "errorCode": code})
        said = f"{fault.pointer} {fault.detail}" if fault.pointer else f"The body {fault.detail}"
        messages.append({"message": f"{said}.", "type": "Error", "errorCode": code})
    return Answer(error.status, _encode({"data": data, "messages": messages}), (JSON, *headers))
