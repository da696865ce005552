# SPDX-License-Identifier: Apache-2.0
"""
Signals: everything that a run reacts to. Each is a record under the run's id, applied once and in order.

One that comes late or twice changes nothing: what it names has ended, or is at another attempt.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.workflows.run import Asker, EndStatus, Origin, Parent


class _Signal(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="signal"):
    """What all of them have: nothing but the tag."""


class Start(_Signal, frozen=True, kw_only=True, tag="start"):
    """
    Begin the run.

    Shape:  `params` of an event's run is `{"event": the CloudEvent as JSON}`, of a webhook's `{"data": the body}`; the trigger of
            what a `StartRun` asks for is `workflow`. The event of a run with an `asker` has its data there.
    """

    tenant: str
    workflow: str
    version: int
    trigger: Origin = "manual"
    initiated_by: str = ""
    params: dict[str, Any] = {}
    labels: dict[str, str] = {}
    parent: Parent | None = None
    asker: Asker | None = None
    hops: int = 0
    correlation_id: str = ""


class Callback(_Signal, frozen=True, kw_only=True, tag="callback"):
    """An event of a topic, with the body as `data`: ends every task that waits for it, and is kept for those that will."""

    topic: str
    status: EndStatus = "succeeded"
    results: dict[str, Any] = {}


class TaskEnded(_Signal, frozen=True, kw_only=True, tag="taskended"):
    """What an attempt of a `process` or `workflow` task came to."""

    task: str
    attempt: int
    status: EndStatus = "succeeded"
    results: dict[str, Any] = {}
    reason: str = ""


class Approval(_Signal, frozen=True, kw_only=True, tag="approval"):
    """Somebody's yes or no to a task."""

    task: str
    approved: bool
    by: str = ""
    comment: str = ""


class Timer(_Signal, frozen=True, kw_only=True, tag="timer"):
    """It is later than `due_ms`; whatever is due by then happens."""

    due_ms: int


class Cancel(_Signal, frozen=True, kw_only=True, tag="cancel"):
    """End the run, with everything in it that has not ended."""

    reason: str = ""


class Retry(_Signal, frozen=True, kw_only=True, tag="retry"):
    """Go on from the tasks that failed, or from one of them; what comes after them is done again."""

    task: str = ""


Signal = Start | Callback | TaskEnded | Approval | Timer | Cancel | Retry

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Signal] = msgspec.json.Decoder(Signal)


def encode(signal: Signal) -> bytes:
    """Write a signal as the value of its record."""
    return _encoder.encode(signal)


def decode(value: bytes) -> Signal:
    """Read a record's value. Raises: ValueError, also where it lies too deep to be read."""
    try:
        return _decoder.decode(value)
    except RecursionError as err:
        raise ValueError("the signal lies too deep") from err


def end_status(text: str) -> EndStatus | None:
    """Read the status of a callback, in whatever case; None where a task cannot be ended with it (code 1505)."""
    match text.lower():
        case "succeeded" | "failed" | "invalid" as found:
            return found
        case _:
            return None
