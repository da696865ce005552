# SPDX-License-Identifier: Apache-2.0
"""Runs as the document's WorkflowRun and TaskRun: what is not there is left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bridge.domain import ids
from bridge.domain.moments import iso
from bridge.workflows.document import Workflow
from bridge.workflows.limits import MINUTES
from bridge.workflows.motion import results
from bridge.workflows.run import Run, Status, given_params
from bridge.workflows.tasks import ApprovalTask, Task, params_of

PHASES: Final[Mapping[Status, str]] = {
    "notstarted": "pending",
    "ready": "pending",
    "running": "running",
    "waiting": "running",
}
"""A status that is not here is an end: `completed`."""

_encode = msgspec.json.Encoder().encode


def write(shown: dict[str, Any]) -> bytes:
    """Write an answer's JSON."""
    return _encode(shown)


def workflow_of_subject(subject: str) -> str:
    """Give the workflow of a subject `/<workflow>[/<topic>]`; empty where it names none."""
    return subject.strip("/").partition("/")[0]


def workflow_run(run: Run, workflow: Workflow | None) -> dict[str, Any]:
    """Give a run as JSON; without its workflow, which may be erased, what the run itself tells."""
    shown = {
        "id": run.id,
        "creationDate": iso(run.created_ms),
        "status": run.status,
        "phase": _phase(run.status),
        **_times(*_span(run)),
        **_said(run.message),
        "isAwaitingApproval": False,
        "retries": run.retries,
        "debug": False,
        "workflowRef": run.workflow,
        "workflowName": run.workflow,
        "workflowVersion": run.version,
        "workflowRevisionRef": f"{run.workflow}.{run.version}",
        "trigger": run.trigger,
        **({"initiatedByRef": run.initiated_by} if run.initiated_by else {}),
        "labels": run.labels,
        "annotations": {},
        "params": _pairs(run.params),
        "results": [],
        "workspaces": [],
        "tasks": [],
    }
    return shown if workflow is None else shown | _of_workflow(run, workflow)


def _of_workflow(run: Run, workflow: Workflow) -> dict[str, Any]:
    found, said = results(run, workflow, run.tasks), {one.name: one.description for one in workflow.results}
    asked = (task.name for task in workflow.tasks if isinstance(task, ApprovalTask))
    return {
        "isAwaitingApproval": any(run.task(name).status == "waiting" for name in asked),
        "timeout": workflow.timeout or MINUTES,
        "workflowDisplayName": workflow.display_name or workflow.name,
        "labels": workflow.labels | run.labels,
        "annotations": workflow.annotations,
        "params": _pairs(given_params(run, workflow)),
        "results": [one | ({"description": said[one["name"]]} if said[one["name"]] else {}) for one in _pairs(found)],
        "tasks": [_task_run(run, task) for task in workflow.tasks],
    }


def _task_run(run: Run, task: Task) -> dict[str, Any]:
    state = run.task(task.name)
    shown: dict[str, Any] = {
        "id": ids.task_id(run.id, task.name, max(state.attempt, 1)),
        "name": task.name,
        "type": task.type,
        "status": state.status,
        "phase": _phase(state.status),
        **_times(state.started_ms, state.ended_ms),
        **_said(state.message),
        "retries": max(state.attempt - 1, 0),
        "workflowRef": run.workflow,
        "workflowRunRef": run.id,
        "params": _pairs(params_of(task)),
        "results": _pairs(state.results),
        "dependencies": [one.model_dump(by_alias=True) for one in task.dependencies],
    }
    return shown if task.timeout is None else shown | {"timeout": task.timeout}


def _span(run: Run) -> tuple[int, int]:
    """Give when a run's first task began (0: none has), and when the run ended (0: it has not)."""
    begun = [state.started_ms for state in run.tasks.values() if state.started_ms]
    return min(begun, default=0), run.ended_ms


def _times(started_ms: int, ended_ms: int) -> dict[str, Any]:
    """Give `startTime` where there is one, and `duration` in milliseconds, which is 0 until the end."""
    duration = max(ended_ms - started_ms, 0) if started_ms and ended_ms else 0
    return ({"startTime": iso(started_ms)} if started_ms else {}) | {"duration": duration}


def _said(message: str) -> dict[str, str]:
    return {"statusMessage": message} if message else {}


def _phase(status: Status) -> str:
    return PHASES.get(status, "completed")


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]
