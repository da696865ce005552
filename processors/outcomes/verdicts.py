# SPDX-License-Identifier: Apache-2.0
"""
From what a process returned, or a failure to return anything, to what becomes of its execution. Pure.

A `Verdict` is complete before anything is sent, so that an outcome which cannot be published fails as a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bridge.domain.execution import Status
from bridge.domain.limits import REASON_BYTES, STATE_BYTES
from bridge.sdk import AwaitJourneys, Completed, Rejected, RetryLater, Skipped
from processors.outcomes.outputs import Cause, Output, Unpublishable, kept, outputs_of

JOURNEYS: Final = "runs"
"""Where an execution waits for its journeys: what goes on with it comes from their runs."""

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Failure:
    """
    Without an outcome: `exception`, `timeout`, `crashed`, `not-started`, `out-of-memory`, `invalid-config`.

    Or what `Unpublishable` says.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotBegun:
    """It was not run at all, for want of a place: no outcome, and no attempt."""

    reason: str


class Wait(msgspec.Struct, frozen=True):
    """
    Where an execution waits for its next attempt, and until when.

    `topic` is the topic's name without the installation's prefix; `due_ms` is 0 where there is no time. In `JOURNEYS` no record
    waits, and `due_ms` is when the wait has begun.
    """

    topic: str
    due_ms: int

    @property
    def until_ms(self) -> int | None:
        """When it ends, where there is a time."""
        return self.due_ms or None if self.topic != JOURNEYS else None


class Verdict(msgspec.Struct, frozen=True):
    """
    What becomes of an execution; `code` is empty unless its attempt failed.

    `after_s` is how long the process itself wants to wait, `wait` what was granted: only a pending execution has it. `kept` is
    what the process keeps of the event's key from now on, as JSON (nothing: it forgets it); None: what it has kept so far.
    `start` begins the journeys that it waits for.
    """

    status: Status
    code: str = ""
    reason: str = ""
    data: str = "null"
    outputs: Sequence[Output] = ()
    after_s: float | None = None
    wait: Wait | None = None
    kept: bytes | None = None
    start: Output | None = None

    @property
    def said(self) -> str:
        """The code and the reason as one text."""
        return f"{self.code}: {self.reason}" if self.code else self.reason


def judge(outcome: object, cause: Cause) -> Verdict:
    """
    Turn an outcome, or a failure, into a verdict; never raises for anything that a process can return.

    Shape:  one that awaits journeys is `pending`, and has yet to be told which.
    """
    try:
        return _judged(outcome, cause)
    except Exception as err:  # noqa: BLE001  the edge: an outcome holds objects of the process, and their code may raise
        return failed("invalid-outcome", f"run() returned a {type(outcome).__name__} that cannot be read: {said(err)}")


def said(err: BaseException) -> str:
    """Say what an exception says, its type first; only its type where its own text raises."""
    try:
        return f"{type(err).__name__}: {err}"
    except Exception:  # noqa: BLE001  the edge: it is a process's own class
        return type(err).__name__


def _judged(outcome: object, cause: Cause) -> Verdict:
    match outcome:
        case Completed() | AwaitJourneys():
            status = Status.COMPLETED if isinstance(outcome, Completed) else Status.PENDING
            try:
                return Verdict(status, data=kept(outcome.data).decode(), outputs=outputs_of(outcome, cause))
            except Unpublishable as err:
                return failed(err.code, err.reason)
        case Skipped():
            return Verdict(Status.SKIPPED, reason=cut(str(outcome.reason)))
        case RetryLater():
            return _later(outcome)
        case Rejected():
            code = outcome.code if isinstance(outcome.code, str) and CODE.fullmatch(outcome.code) else "rejected"
            return failed(code, str(outcome.reason))
        case Failure():
            return failed(outcome.code, outcome.reason)
    return failed("invalid-outcome", unfit(outcome))


def unfit(outcome: object) -> str:
    """Say of something that is no outcome what to return instead."""
    return f"run() returned {outcome!r:.200}; return Completed, AwaitJourneys, Skipped, RetryLater or Rejected"


def _later(outcome: RetryLater) -> Verdict:
    after_s: Any = outcome.after_s
    if after_s is not None and not (isinstance(after_s, (int, float)) and 0 <= after_s < math.inf):
        return failed("invalid-outcome", f"RetryLater.after_s is {after_s!r:.40}; give seconds, or None")
    return Verdict(Status.FAILED, "retry-later", cut(str(outcome.reason)), after_s=after_s)


def failed(code: str, reason: str) -> Verdict:
    """Give the verdict of a failed execution."""
    return Verdict(Status.FAILED, code, cut(reason))


def keeping(verdict: Verdict, kept: bytes) -> Verdict:
    """Give the verdict of an execution that has changed its state."""
    if len(kept) > STATE_BYTES:
        return failed("result-too-large", f"the state has {len(kept)} bytes of JSON; at most {STATE_BYTES} are kept")
    return msgspec.structs.replace(verdict, kept=kept)


def cut(text: str, most: int = REASON_BYTES) -> str:
    """Bound a text to `most` bytes of UTF-8, at a character's border."""
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"
