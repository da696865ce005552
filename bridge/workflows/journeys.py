# SPDX-License-Identifier: Apache-2.0
"""
Journeys: runs that a message of Event Ingress has to go through, each of a workflow whose trigger names the message's type.

Where there are several, one run joins them: its tasks are their runs. Its document is made of their names, and is in no registry.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.domain import ids
from bridge.domain.redelivery import Journey
from bridge.workflows.document import Triggers, Workflow
from bridge.workflows.run import NOT_STARTED, Run, TaskState
from bridge.workflows.tasks import WorkflowTask

SHIPPED: Final = 0
"""The version of a workflow that comes with the bridge; those of the registry count from 1."""
JOINING: Final = "journeys"
"""The workflow of a run that joins others, and the param that names theirs."""
MOST: Final = 20
"""Journeys of one message."""


def joins(run: Run) -> bool:
    """Say whether a run is one that joins a message's journeys."""
    return run.version == SHIPPED and run.workflow == JOINING


def joined(params: Mapping[str, Any]) -> Workflow:
    """Make the document of a run that joins journeys."""
    names: Sequence[str] = params[JOINING]
    tasks = tuple(
        WorkflowTask(name=name, type="workflow", workflow_ref=name, params={"event": "$(params.event)"}) for name in names
    )
    return Workflow(name=JOINING, triggers=Triggers(), tasks=tasks)


def run_ids(run_id: str, names: Sequence[str]) -> dict[str, str]:
    """Give the ids of the journeys' runs, by their workflows, when `run_id` starts or joins them."""
    return {name: ids.task_id(run_id, name, 1) for name in names} if len(names) > 1 else dict.fromkeys(names, run_id)


def journeys_of(run: Run, workflow: Workflow | None, tasks: Mapping[str, TaskState]) -> tuple[Journey, ...]:
    """Say how the journeys of a run that has ended went: itself, or those that it joined."""
    if workflow is None or not joins(run):
        return (Journey(run.id, run.workflow, run.status, run.message, run.version),)
    found = []
    for name, run_id in run_ids(run.id, [task.name for task in workflow.tasks]).items():
        state = tasks.get(name, NOT_STARTED)
        reason = state.message or ("" if state.status == "succeeded" else run.message)
        found.append(Journey(run_id, name, state.status, reason))
    return tuple(found)
