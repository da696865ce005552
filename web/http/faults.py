# SPDX-License-Identifier: Apache-2.0
"""
The refusals that only HTTP knows, as members of the one tree in `bridge.domain.errors`.

Raised by the doors before a route is reached; `web.http.problems` turns them into answers like all others.
"""

from __future__ import annotations

from bridge.domain.errors import InvalidEvent, Refused


class MalformedRequest(Refused):
    """The request is not HTTP as we read it: a wrong Content-Length, a path or header that is not text."""

    code, title, status = "malformed-request", "The request is malformed", 400


class InvalidRequest(InvalidEvent):
    """The query or a header of a look-up cannot be read; carries every fault at once."""

    code, title, status = "invalid-request", "The request is not valid", 400


class MethodNotAllowed(Refused):
    """The resource exists and does not know the method; `allow` names those that it knows."""

    code, title, status = "method-not-allowed", "Method not allowed", 405

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__(f"Use {' or '.join(sorted(allow))}.")
        self.allow = tuple(sorted(allow))


class BodyTimeout(Refused):
    """The body did not arrive in time."""

    code, title, status, retryable = "body-timeout", "The body took too long to arrive", 408, True

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The whole body must arrive within {seconds:g} seconds.")
        self.seconds = seconds
