# SPDX-License-Identifier: Apache-2.0
"""
Every error that crosses a boundary, in one tree.

BridgeError
├── Refused                    the caller's fault: a repetition fails in the same way
│   ├── InvalidEvent           400  unreadable or invalid; carries every fault at once
│   ├── InvalidWorkflow        400  a workflow's document is wrong; carries every fault at once
│   ├── InvalidValue           400  a value of a management request or command is wrong
│   ├── NotAuthenticated       401  no valid credential (one body for every cause)
│   ├── NotAllowed             403  the credential lacks a scope
│   ├── NotFound               404  unknown, or another tenant's
│   ├── Conflict               409  the same id with other content, or a lost decision
│   ├── LengthRequired         411  a body of unknown length
│   ├── TooLarge               413  a body above the limit
│   ├── UnsupportedMedia       415  a content type or encoding that the route does not read
│   └── TooManyRequests        429  a rate window is full
├── Unavailable                503  try later: nothing is promised
│   ├── BrokerUnavailable           Kafka did not confirm in time
│   └── ViewUnavailable             the live view is lost or being rebuilt
└── Misconfigured                   the operator's fault, raised at start only

`web.http.problems` alone turns them into answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (a JSON Pointer, or `header:<name>`, `query:<name>`) and what."""

    pointer: str
    detail: str


class BridgeError(Exception):
    """The root. `code` is stable kebab-case; `title` is for people; `status` is the HTTP meaning."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class Refused(BridgeError):
    """The caller's fault."""


class InvalidEvent(Refused):
    """The request cannot be read as an event; `faults` names everything that is wrong with it."""

    code, title, status = "invalid-event", "The event is not valid", 400

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{f.pointer}: {f.detail}" if f.pointer else f.detail for f in faults))
        self.faults = faults


class InvalidWorkflow(Refused):
    """A workflow's document cannot be read; `faults` names everything that is wrong with it."""

    code, title, status = "invalid-workflow", "The workflow is not valid", 400

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{f.pointer}: {f.detail}" if f.pointer else f"The document {f.detail}" for f in faults))
        self.faults = faults


class InvalidValue(Refused):
    """A value of a management request or command is wrong; the detail names it and says what is wanted."""

    code, title, status = "invalid-value", "A value is not valid", 400


class NotAuthenticated(Refused):
    """No valid credential; says the same for missing, wrong, revoked and expired ones."""

    code, title, status = "not-authenticated", "A valid credential is required", 401


class NotAllowed(Refused):
    """The credential is valid and lacks `scope`."""

    code, title, status = "not-allowed", "The credential lacks a scope", 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}.")
        self.scope = scope


class NotFound(Refused):
    """Unknown, or another tenant's: the two cannot be told apart."""

    code, title, status = "not-found", "Not found", 404


class Conflict(Refused):
    """The state of the thing contradicts the request."""

    code, title, status = "conflict", "Conflict", 409


class LengthRequired(Refused):
    """The request has a body of unknown length."""

    code, title, status = "length-required", "Content-Length is required", 411


class TooLarge(Refused):
    """The body exceeds `limit` bytes."""

    code, title, status = "too-large", "The body is too large", 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"The limit is {limit} bytes.")
        self.limit = limit


class TreeTooLarge(Refused):
    """More is tied together by a correlation id than one look-up shows."""

    code, title, status = "tree-too-large", "Too much to be shown at once", 422

    def __init__(self, members: int) -> None:
        super().__init__(
            f"The correlation id ties more than {members} events and executions together, or too many bytes of them; "
            "look single events up, or read the topic of executions."
        )


class UnsupportedMedia(Refused):
    """The content type or content encoding is not one that this route reads."""

    code, title, status = "unsupported-media", "Unsupported content type", 415


class Quota(NamedTuple):
    """What is left of one rate window: `limit` per `window_s` seconds, `remaining` now, all free again in `reset_s` seconds."""

    name: str
    limit: int
    window_s: int
    remaining: int
    reset_s: int


class TooManyRequests(Refused):
    """A rate window is full; `retry_after_s` seconds from now a request fits again."""

    code, title, status, retryable = "quota-exceeded", "Rate limit exceeded", 429, True

    def __init__(self, tenant: str, violated: tuple[Quota, ...], retry_after_s: int) -> None:
        windows = ", ".join(f"{q.limit} in {q.window_s} s" for q in violated)
        super().__init__(f"Tenant {tenant} sent more than {windows}.")
        self.violated, self.retry_after_s = violated, retry_after_s


class Unavailable(BridgeError):
    """Try later; nothing is promised about what happened."""

    code, title, status, retryable = "unavailable", "Temporarily unavailable", 503, True
    retry_after_s: int = 1


class BrokerUnavailable(Unavailable):
    """Kafka did not confirm the record in time; it may or may not be stored, so repeat with the same id."""

    code, title = "broker-unavailable", "Kafka did not confirm the event"


class ViewUnavailable(Unavailable):
    """Redis is away, or its view is being rebuilt from Kafka."""

    code, title = "view-unavailable", "The live view is being rebuilt"


class Misconfigured(BridgeError):
    """The operator's fault; `faults` are sentences that name the setting or plugin and the cure."""

    code, title = "misconfigured", "Event Bridge is not configured correctly"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
