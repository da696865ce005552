# SPDX-License-Identifier: Apache-2.0
"""
What is kept of one run: a small JSON value without its workflow's document, of which it has the name and the version.

What need not be said is left out: a task that has not begun has no entry, and no member has its default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from bridge.workflows.document import TriggerName, Workflow, fits

Status = Literal[
    "notstarted", "ready", "running", "waiting", "succeeded", "failed", "invalid", "skipped", "cancelled", "timedout"
]  # fmt: skip
Origin = TriggerName | Literal["workflow"]
"""What started a run: a trigger, or another run's task."""
EndStatus = Literal["succeeded", "failed", "invalid"]
"""How a task may be ended from outside."""
BAD: Final = ("failed", "invalid")
ACTIVE: Final = ("running", "waiting")
ENDED: Final = ("succeeded", "failed", "invalid", "skipped", "cancelled", "timedout")


class Parent(msgspec.Struct, frozen=True, array_like=True):
    """The attempt of another run's task that waits for this run."""

    run_id: str
    task: str
    attempt: int


class Asker(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """
    A message whose business process waits for the run: the record that gives it back once the run has ended.

    `value` is the message's payload, which the run's params do not repeat. Nothing of it is left when the run has ended.
    """

    partition: int = 0
    key: bytes = b""
    headers: tuple[tuple[str, bytes], ...] = ()
    value: str = ""


_SHORT = {
    "status": "s",
    "attempt": "n",
    "started_ms": "b",
    "ended_ms": "e",
    "due_ms": "d",
    "message": "m",
    "results": "r",
}
"""A task's members as they are kept: a run repeats them for each of its tasks."""


class TaskState(msgspec.Struct, frozen=True, omit_defaults=True, rename=_SHORT):
    """How far a task is. `attempt` counts those that have begun; `due_ms` is when it times out, or a sleep's end."""

    status: Status = "notstarted"
    attempt: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    due_ms: int = 0
    message: str = ""
    results: dict[str, Any] = {}

    @property
    def active(self) -> bool:
        """Whether it has begun and not ended."""
        return self.status in ACTIVE

    @property
    def ended(self) -> bool:
        """Whether it never changes any more, unless the run is retried."""
        return self.status in ENDED


NOT_STARTED: Final = TaskState()


class Early(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that came before anybody waited for it."""

    status: EndStatus = "succeeded"
    results: dict[str, Any] = {}


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One run. `params` is as it was given: an event's run has only `event` there (`given_params` says what follows from it).

    `next_due_ms` is when a timer has to give it a signal, if none comes before; 0: never. Whoever keeps a run that has ended says
    there when it is to be forgotten.
    """

    id: str
    tenant: str
    workflow: str
    version: int
    trigger: Origin = "manual"
    initiated_by: str = ""
    status: Status = "notstarted"
    message: str = ""
    created_ms: int = 0
    ended_ms: int = 0
    due_ms: int = 0
    next_due_ms: int = 0
    retries: int = 0
    hops: int = 0
    correlation_id: str = ""
    parent: Parent | None = None
    asker: Asker | None = None
    params: dict[str, Any] = {}
    labels: dict[str, str] = {}
    tasks: dict[str, TaskState] = {}
    early: dict[str, Early] = {}

    @property
    def ended(self) -> bool:
        """Whether it takes no signal any more but a retry."""
        return self.status in ENDED

    def task(self, name: str) -> TaskState:
        """Give how far a task is."""
        return self.tasks.get(name, NOT_STARTED)


class _Due(msgspec.Struct):
    next_due_ms: int = 0


_encoder = msgspec.json.Encoder()
_runs = msgspec.json.Decoder(Run)
_dues = msgspec.json.Decoder(_Due)


def encode(run: Run) -> bytes:
    """Write a run as it is kept."""
    return _encoder.encode(run)


def decode(kept: bytes) -> Run:
    """Read what is kept of a run. Raises: ValueError."""
    return _runs.decode(kept)


def next_due_ms(kept: bytes) -> int:
    """Give when a kept run has to get a timer's signal, 0 for never, without reading the rest. Raises: ValueError."""
    return _dues.decode(kept).next_due_ms


def given_params(run: Run, workflow: Workflow) -> dict[str, Any]:
    """
    Give a run's params as its tasks see them: with defaults, and for an event's run with its data.

    Shape:  the members of an event's data are params of their own, but for `event` and `data`, which are the whole.
    """
    given = run.params
    if run.trigger == "event" and isinstance(event := given.get("event"), dict):
        if run.asker is not None and run.asker.value:
            event = event | {"data": json.loads(run.asker.value)}
        data = event.get("data")
        given = (data if isinstance(data, dict) else {}) | {"data": data} | given | {"event": event}
    found = {one.name: one.default for one in workflow.params if one.default is not None}
    return found | {name: value for name, value in given.items() if value is not None or name not in found}


def param_faults(params: Mapping[str, Any], workflow: Workflow) -> list[str]:
    """Say what is wrong with the params of `given_params`: one that is required and missing, or of another type."""
    faults = []
    for one in workflow.params:
        value = params.get(one.name)
        if value is None and one.required:
            faults.append(f"The param {one.name} is required.")
        elif value is not None and not fits(one.type, value):
            faults.append(f"The param {one.name} is no {one.type}.")
    return faults
