# SPDX-License-Identifier: Apache-2.0
"""
A workflow's document as a value. Made by `bridge.workflows.reading`, which also checks what one part says of another.

The JSON Schema of it is published at docs/reference/workflow.schema.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from bridge.workflows import graph, schedules
from bridge.workflows.conditions import Condition
from bridge.workflows.limits import CONDITIONS, PARAMS, PATTERN_SIZE, TASKS
from bridge.workflows.patterns import size
from bridge.workflows.shape import EventKey, ParamName, Shape, Text, WorkflowName
from bridge.workflows.tasks import Minutes, Task

ParamType = Literal["string", "number", "boolean", "object", "array"]
TYPES: Mapping[ParamType, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def fits(type_: ParamType, value: Any) -> bool:
    """Say whether a JSON value is of a param's type."""
    return isinstance(value, TYPES[type_]) and (type_ == "boolean" or not isinstance(value, bool))


class Param(Shape):
    """A param of the workflow: null is no value."""

    name: ParamName
    type: ParamType = "string"
    description: Text = ""
    required: bool = False
    default: Any = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.default is not None and not fits(self.type, self.default):
            raise ValueError(f"the default is no {self.type}")
        return self


class Result(Shape):
    """What a run that succeeded gives; `value` has references to what its tasks gave."""

    name: ParamName
    description: Text = ""
    value: Any = None


TriggerName = Literal["manual", "event", "webhook", "github", "schedule"]


def _quick(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Refuse patterns that together would hold up whoever asks them."""
    if (found := sum(size(one.value) for one in conditions if one.operation == "matches")) > PATTERN_SIZE:
        raise ValueError(f"the patterns have {found} characters with their repetitions written out; the limit is {PATTERN_SIZE}")
    return conditions


class Trigger(Shape):
    """Whether a kind of caller may start runs, and on which conditions (all must hold)."""

    enabled: bool = False
    conditions: Annotated[tuple[Condition, ...], Field(max_length=CONDITIONS), AfterValidator(_quick)] = ()


class Manual(Trigger):
    """On unless it is said otherwise."""

    enabled: bool = True


class EventTrigger(Trigger):
    """
    With an `eventType` it is the trigger of a journey: messages of Event Ingress start runs, and Flow's API starts none.

    Without an `eventSubtype` it means all subtypes of the type.
    """

    event_type: EventKey | Literal[""] = ""
    event_subtype: EventKey | Literal[""] = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.event_subtype and not self.event_type:
            raise ValueError("an eventSubtype needs the eventType that it belongs to")
        return self


class Schedule(Trigger):
    """Starts runs at the times of a cron expression, in a time zone."""

    cron: str = ""
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = schedules.fault(self.cron, self.timezone) if self.cron or self.enabled else ""
        if wrong:
            raise ValueError(wrong)
        return self


class Triggers(Shape):
    """Who may start runs; without a word only somebody by hand."""

    manual: Manual = Manual()
    event: EventTrigger = EventTrigger()
    webhook: Trigger = Trigger()
    github: Trigger = Trigger()
    schedule: Schedule = Schedule()

    @property
    def enabled(self) -> list[TriggerName]:
        """The names of those that are on."""
        return [name for name in get_args(TriggerName) if getattr(self, name).enabled]


Labels = dict[Text, Text]


def _some(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """After all of them, where pydantic's own check counts only those without faults."""
    if not tasks:
        raise ValueError("a workflow has at least one task")
    return tasks


class Workflow(Shape):
    """A workflow; `timeout` is in minutes, and without one a run may take 30 days."""

    name: WorkflowName
    display_name: Text = ""
    description: Text = ""
    labels: Labels = Field(default={}, max_length=PARAMS)
    annotations: Labels = Field(default={}, max_length=PARAMS)
    params: Annotated[tuple[Param, ...], Field(max_length=PARAMS)] = ()
    triggers: Triggers = Triggers()
    timeout: Minutes | None = None
    tasks: Annotated[tuple[Task, ...], AfterValidator(_some), Field(max_length=TASKS, json_schema_extra={"minItems": 1})]
    results: Annotated[tuple[Result, ...], Field(max_length=PARAMS)] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Task]:
        """The tasks by their names."""
        return {task.name: task for task in self.tasks}

    @cached_property
    def in_order(self) -> tuple[Task, ...]:
        """The tasks, each after those that it depends on."""
        before = {task.name: [one.task_ref for one in task.dependencies] for task in self.tasks}
        return tuple(self.by_name[name] for name in graph.in_order(before))

    @cached_property
    def after(self) -> Mapping[str, tuple[str, ...]]:
        """The tasks that depend on each."""
        found: dict[str, list[str]] = {task.name: [] for task in self.tasks}
        for task in self.tasks:
            for one in task.dependencies:
                found[one.task_ref].append(task.name)
        return {name: tuple(after) for name, after in found.items()}

    def trigger(self, name: TriggerName) -> Trigger:
        """Give one of the triggers."""
        found = getattr(self.triggers, name)
        assert isinstance(found, Trigger)
        return found

    def plain(self) -> dict[str, Any]:
        """Give the document as JSON has it, without what it needs not say: equal ones mean the same."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
