# SPDX-License-Identifier: Apache-2.0
"""What a process may return. Values only: publishing them is the worker's work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """
    A CloudEvent for the process's result topic.

    `data` becomes JSON, except that bytes are published as they are under `content_type`. Ids are given by the worker and are
    the same whenever the execution is repeated.
    """

    type: str
    data: Any = None
    subject: str = ""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Emit:
    """A new event for the bridge itself: routed like any other, with the correlation id of the one that caused it."""

    type: str
    data: Any = None
    subject: str = ""
    partition_key: str = ""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Completed:
    """Done. `data` (JSON) is kept with the execution and shown by status look-ups."""

    data: Any = None
    results: list[Result] = field(default_factory=list)
    emits: list[Emit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AwaitJourneys:
    """
    Not yet: begin the journeys of a message (`context.journeys`), and call `run` again when all of them have ended.

    What it publishes and keeps counts at once; `data` is shown meanwhile. No later event of an `ordered` process's key begins
    before that.
    """

    data: Any = None
    results: list[Result] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The event was none of this process's business, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """
    Not now: try again, after `after_s` seconds at the earliest, or after the delay that `Process.retry` has for this attempt.

    The wait is rounded up to one of the installation's tiers (`EVB_RETRY_TIERS`). Where even the longest is shorter than
    `after_s`, the attempt comes after that, so earlier than asked. The number of attempts is still that of `Process.retry`.
    """

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """
    Never: the event goes to the dead letters with this kebab-case code and reason.

    `keep`: what the run has put into its state counts all the same.
    """

    code: str
    reason: str
    keep: bool = False


Outcome = Completed | AwaitJourneys | Skipped | RetryLater | Rejected
