# SPDX-License-Identifier: Apache-2.0
"""
The only place where errors become answers: RFC 9457 problem documents.

Both doors and Flask's error handlers call it. It never shows an exception's stack, and of an unforeseen error nothing but
an id under which the log has the rest.
"""

from __future__ import annotations

from typing import Any

import orjson

from bridge.domain.errors import BridgeError, InvalidEvent, NotAuthenticated, TooManyRequests, Unavailable
from web.http.faults import MethodNotAllowed
from web.http.limits import Header, quota_headers
from web.http.messages import Answer

MEDIA_TYPE = "application/problem+json"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
CHALLENGE = 'ApiKey realm="event-bridge"'


def problem_type(code: str) -> str:
    """Give the URI that names a kind of problem; `/problems/<code>` is answered with its explanation."""
    return QUOTA_EXCEEDED if code == TooManyRequests.code else f"/problems/{code}"


def answer_of(error: BridgeError, request_id: str) -> Answer:
    """Turn an error into its answer."""
    document: dict[str, Any] = {
        "type": problem_type(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    if isinstance(error, NotAuthenticated) or (error.status >= 500 and not isinstance(error, Unavailable)):
        del document["detail"]  # one body for every cause
    if isinstance(error, InvalidEvent):
        document["errors"] = [{"pointer": f.pointer, "detail": f.detail} for f in error.faults]
    if isinstance(error, TooManyRequests):
        document["violated-policies"] = [q.name for q in error.violated]
    headers = (("content-type", MEDIA_TYPE), *_headers(error))
    return Answer(error.status, orjson.dumps(document), headers)


def internal_error(request_id: str) -> Answer:
    """Answer for an error that nobody foresaw: an id and nothing else."""
    return answer_of(BridgeError(), request_id)


def _headers(error: BridgeError) -> tuple[Header, ...]:
    match error:
        case NotAuthenticated():
            return (("www-authenticate", CHALLENGE),)
        case MethodNotAllowed():
            return (("allow", ", ".join(error.allow)),)
        case TooManyRequests():
            return (("retry-after", str(error.retry_after_s)), *quota_headers(error.violated))
        case Unavailable():
            return (("retry-after", str(error.retry_after_s)),)
        case _:
            return ()
