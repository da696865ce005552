# SPDX-License-Identifier: Apache-2.0
"""A run as Flow's API shows it: the WorkflowRun with its TaskRuns. Members without a value are left out."""

from __future__ import annotations

from typing import Any

from bridge.domain import ids
from bridge.domain.moments import iso
from bridge.workflows.document import Workflow
from bridge.workflows.limits import MINUTES
from bridge.workflows.motion import given, results
from bridge.workflows.references import Filling, Unresolved
from bridge.workflows.run import Run, Status, TaskState, given_params
from bridge.workflows.tasks import ApprovalTask, Task, params_of

PHASES: dict[Status, str] = {"notstarted": "pending", "ready": "pending", "running": "running", "waiting": "running"}
"""The phase of a status; every other one is of the phase `completed`."""


def document(run: Run, workflow: Workflow) -> dict[str, Any]:
    """Give the WorkflowRun of a run and the version of its workflow."""
    filling = Filling(given(run, workflow, run.tasks))
    return _present(
        {
            "id": run.id,
            "creationDate": iso(run.created_ms),
            "status": run.status,
            "phase": PHASES.get(run.status, "completed"),
            "startTime": iso(run.created_ms) if run.due_ms or run.tasks else None,
            "duration": max(run.ended_ms - run.created_ms, 0) if run.ended else 0,
            "statusMessage": run.message or None,
            "isAwaitingApproval": any(_asks(task, run) for task in workflow.tasks),
            "timeout": workflow.timeout or float(MINUTES),
            "retries": run.retries,
            "debug": False,
            "workflowRef": run.workflow,
            "workflowName": run.workflow,
            "workflowDisplayName": workflow.display_name or None,
            "workflowVersion": run.version,
            "workflowRevisionRef": f"{run.workflow}.{run.version}",
            "trigger": run.trigger,
            "initiatedByRef": run.initiated_by or None,
            "labels": workflow.labels | run.labels,
            "annotations": workflow.annotations,
            "params": _named(given_params(run, workflow)),
            "results": _results(run, workflow),
            "workspaces": [],
            "tasks": [_task(task, run, filling) for task in workflow.tasks],
        }
    )


def _task(task: Task, run: Run, filling: Filling) -> dict[str, Any]:
    state = run.task(task.name)
    return _present(
        {
            "id": ids.task_id(run.id, task.name, max(state.attempt, 1)),
            "name": task.name,
            "type": task.type,
            "creationDate": iso(run.created_ms),
            "status": state.status,
            "phase": PHASES.get(state.status, "completed"),
            "startTime": iso(state.started_ms) if state.started_ms else None,
            "duration": max(state.ended_ms - state.started_ms, 0) if state.started_ms and state.ended_ms else 0,
            "statusMessage": state.message or None,
            "timeout": task.timeout,
            "retries": max(state.attempt - 1, 0),
            "workflowRef": run.workflow,
            "workflowRunRef": run.id,
            "params": _named(_params(task, state, filling)),
            "results": _named(state.results),
            "dependencies": [one.model_dump(by_alias=True) for one in task.dependencies],
        }
    )


def _params(task: Task, state: TaskState, filling: Filling) -> dict[str, Any]:
    """Give what a task works on: as it was filled in for one that has begun, else as it is written."""
    written = params_of(task)
    if not state.started_ms:
        return written
    try:
        filled: dict[str, Any] = filling.fill(written)
    except Unresolved:
        return written
    return filled


def _results(run: Run, workflow: Workflow) -> list[dict[str, Any]]:
    found = results(run, workflow, run.tasks)
    return [
        _present({"name": one.name, "description": one.description or None, "value": found[one.name]})
        for one in workflow.results
        if one.name in found
    ]


def _asks(task: Task, run: Run) -> bool:
    return isinstance(task, ApprovalTask) and run.task(task.name).active


def _named(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
