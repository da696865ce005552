# SPDX-License-Identifier: Apache-2.0
"""What each kind of task does when it begins: an effect, a wait, or an end at once."""

from __future__ import annotations

import json
from typing import Any

from bridge.cloudevents.attributes import text_fault
from bridge.domain import ids
from bridge.domain.event import MAX_HOPS
from bridge.workflows.effects import EmitEvent, RunProcess, StartRun
from bridge.workflows.journeys import joins
from bridge.workflows.motion import Motion
from bridge.workflows.references import Unresolved, as_text
from bridge.workflows.run import Origin, Parent, Status
from bridge.workflows.tasks import (
    ApprovalTask,
    DecisionTask,
    EmitTask,
    EventWaitTask,
    ProcessTask,
    SleepTask,
    Task,
    WorkflowTask,
    params_of,
    seconds,
)

TYPE_CHARS = 255


def start(motion: Motion, task: Task) -> None:
    """Begin an attempt of a task; one whose params cannot be made is `invalid`."""
    due_ms = motion.at_ms + minutes_ms(task.timeout) if task.timeout is not None else 0
    try:
        params = motion.fill(params_of(task))
        status = _begin(motion, task, params)
    except (Unresolved, ValueError) as err:
        motion.begin_task(task.name, "running")
        motion.end_task(task.name, "invalid", message=str(err))
        return
    if status is not None:
        if isinstance(task, SleepTask):
            wake_ms = motion.at_ms + round(params["duration"] * 1000)
            due_ms = min(due_ms or wake_ms, wake_ms)
        motion.begin_task(task.name, status, due_ms)


def minutes_ms(minutes: float) -> int:
    """Give minutes as milliseconds, at least one."""
    return max(round(minutes * 60_000), 1)


def _begin(motion: Motion, task: Task, params: dict[str, Any]) -> Status | None:
    """Give the status that the task has now; None where it has ended."""
    run, attempt = motion.run, motion.task(task.name).attempt + 1
    id_ = ids.task_id(run.id, task.name, attempt)
    match task:
        case ProcessTask():
            _check_hops(run.hops + 1)
            written(params)
            motion.effects.append(RunProcess(id_, task.process_ref, params, task.name, attempt, run.hops + 1))
            return "running"
        case WorkflowTask():
            parent = Parent(run.id, task.name, attempt)
            trigger: Origin = "event" if joins(run) else "workflow"
            motion.effects.append(StartRun(id_, task.workflow_ref, params, parent, run.hops + 1, trigger))
            return "running"
        case EventWaitTask():
            early = run.early.get(as_text(params["topic"]))
            if early is None:
                return "waiting"
            _end(motion, task, early.status, early.results)
            return None
        case SleepTask():
            seconds(params["duration"])
            return "waiting"
        case DecisionTask():
            _end(motion, task, "succeeded", {"value": params["value"]})
            return None
        case ApprovalTask():
            return "waiting"
        case EmitTask():
            type_ = as_text(params["type"])
            if not 0 < len(type_) <= TYPE_CHARS or not type_.isprintable() or " " in type_:
                raise ValueError(f"{type_[:TYPE_CHARS]!r} is no type of events")
            subject = as_text(params.get("subject", ""))
            if wrong := text_fault(subject) if subject else "":
                raise ValueError(f"the subject {wrong}")
            _check_hops(run.hops + 1)
            written(params.get("data"))
            motion.effects.append(EmitEvent(id_, type_, params.get("data"), subject, run.hops + 1))
            _end(motion, task, "succeeded", {})
            return None


def written(value: Any) -> bytes:
    """Write data that a run gives away. Raises: ValueError for what JSON has not."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _check_hops(hops: int) -> None:
    """Raise ValueError for an event that nobody would take: whoever waits for its end has to be told."""
    if hops > MAX_HOPS:
        raise ValueError(f"more than {MAX_HOPS} runs and events have caused one another")


def _end(motion: Motion, task: Task, status: Status, results: dict[str, Any]) -> None:
    motion.begin_task(task.name, "running")
    motion.end_task(task.name, status, results)
