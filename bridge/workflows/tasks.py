# SPDX-License-Identifier: Apache-2.0
"""
The kinds of tasks, in Flow's shape: `type` says which, `params` what it works on, `dependencies` what comes before it.

Texts in `params` may have references (`$(params.x)`); so what a text becomes is checked when the task starts.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from bridge.workflows.limits import DEPENDENCIES, MINUTES, PARAMS, TEXT_CHARS
from bridge.workflows.shape import ProcessName, Shape, TaskName, Text, WorkflowName

Minutes = Annotated[float, Field(gt=0, le=MINUTES)]
ONE_REFERENCE = re.compile(r"^\$\([^()]*\)$")
ReferencedText = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARS)]


def named(given: Any) -> Any:
    """Read params that are a list of `name` and `value` as a mapping."""
    if not isinstance(given, list):
        return given
    if not all(isinstance(one, dict) and one.keys() == {"name", "value"} and isinstance(one["name"], str) for one in given):
        raise ValueError("params are a mapping, or a list of {name, value}")
    found = {one["name"]: one["value"] for one in given}
    if len(found) < len(given):
        raise ValueError("a param is named twice")
    return found


class Dependency(Shape):
    """A task that comes before: it must have ended as `executionCondition` says, and have decided for `decisionCondition`."""

    task_ref: TaskName
    execution_condition: Literal["always", "success", "failure"] = "always"
    decision_condition: Text = ""


class Common(Shape):
    """What every task has; `timeout` is in minutes, and without one a task may take as long as the run."""

    results: ClassVar[frozenset[str]] = frozenset()
    name: TaskName
    dependencies: Annotated[tuple[Dependency, ...], Field(max_length=DEPENDENCIES)] = ()
    timeout: Minutes | None = None


AnyParams = Annotated[dict[str, Any], BeforeValidator(named)]


class ProcessTask(Common):
    """One execution of a plugin's process: its event's data are the params."""

    results: ClassVar = frozenset({"data"})
    type: Literal["process"]
    process_ref: ProcessName
    params: AnyParams = Field(default={}, max_length=PARAMS)


class WorkflowTask(Common):
    """A run of another workflow, with these params."""

    results: ClassVar = frozenset({"data"})
    type: Literal["workflow"]
    workflow_ref: WorkflowName
    params: AnyParams = Field(default={}, max_length=PARAMS)


class Topic(Shape):
    """What a callback has to name."""

    topic: ReferencedText


class EventWaitTask(Common):
    """Waits for a callback of its topic."""

    results: ClassVar = frozenset({"data"})
    type: Literal["eventwait"]
    params: Annotated[Topic, BeforeValidator(named)]


def seconds(given: Any) -> float:
    """Read a duration. Raises: ValueError."""
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 < given <= MINUTES * 60:
        return given
    raise ValueError(f"a duration is a number of seconds above 0 and up to {MINUTES * 60}")


def _seconds_or_reference(given: Any) -> Any:
    return given if isinstance(given, str) and ONE_REFERENCE.fullmatch(given) else seconds(given)


class Duration(Shape):
    """Seconds, or a reference to some."""

    duration: Annotated[
        Any,
        BeforeValidator(_seconds_or_reference),
        WithJsonSchema(
            {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": MINUTES * 60}, {"pattern": ONE_REFERENCE.pattern}]}
        ),
    ]


class SleepTask(Common):
    """Waits for some seconds."""

    type: Literal["sleep"]
    params: Annotated[Duration, BeforeValidator(named)]


class Decided(Shape):
    """A text, a number or a truth value."""

    value: str | bool | int | float


class DecisionTask(Common):
    """Chooses among the tasks that depend on it: those whose `decisionCondition` is its value."""

    results: ClassVar = frozenset({"value"})
    type: Literal["decision"]
    params: Annotated[Decided, BeforeValidator(named)]


class Asked(Shape):
    """What whoever approves is told."""

    message: Text = ""


class ApprovalTask(Common):
    """Waits for somebody's yes or no."""

    results: ClassVar = frozenset({"data"})
    type: Literal["approval"]
    params: Annotated[Asked, BeforeValidator(named)] = Asked()


class Emitted(Shape):
    """An event of the bridge."""

    type: ReferencedText
    data: Any = None
    subject: Text = ""


class EmitTask(Common):
    """Emits an event, and has ended with that."""

    type: Literal["emit"]
    params: Annotated[Emitted, BeforeValidator(named)]


Task = Annotated[
    ProcessTask | WorkflowTask | EventWaitTask | SleepTask | DecisionTask | ApprovalTask | EmitTask, Field(discriminator="type")
]
KINDS: dict[str, type[Common]] = {
    "process": ProcessTask,
    "workflow": WorkflowTask,
    "eventwait": EventWaitTask,
    "sleep": SleepTask,
    "decision": DecisionTask,
    "approval": ApprovalTask,
    "emit": EmitTask,
}


def params_of(task: Common) -> dict[str, Any]:
    """Give a task's params as they are written."""
    given = getattr(task, "params")  # noqa: B009  every kind has its own
    return given if isinstance(given, dict) else dict(given)
