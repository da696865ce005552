# SPDX-License-Identifier: Apache-2.0
"""
Whether a caller may start a run of a workflow, and if not why: checked in one order, with the codes of Flow's API.

Called by the doors of `/api/v2` and by the scheduler.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.workflows.conditions import hold
from bridge.workflows.document import TriggerName, Workflow


class Refusal(NamedTuple):
    """Why something is not done: Flow's error body, but for its time."""

    code: int
    reason: str
    status: int
    message: str


class Quota(NamedTuple):
    """How much of what a tenant may have is used."""

    name: str
    used: int
    limit: int


UNKNOWN_WORKFLOW = Refusal(1201, "WORKFLOW_INVALID_REFERENCE", 400, "Invalid Workflow reference has been provided.")
UNKNOWN_RUN = Refusal(1301, "WORKFLOWRUN_INVALID_REFERENCE", 400, "Invalid WorkflowRun reference has been provided.")
TRIGGER_DISABLED = Refusal(1305, "WORKFLOWRUN_TRIGGER_DISABLED", 400, "The Trigger provided is not enabled for this Workflow.")
INVALID_END_STATUS = Refusal(
    1505,
    "TASKRUN_INVALID_END_STATUS",
    400,
    "Invalid end status for a TaskRun. Allowed Status: 'succeeded', 'failed', 'invalid'.",
)


def refusal(workflow: Workflow | None, trigger: TriggerName, facts: Any, quota: Quota | None = None) -> Refusal | None:
    """
    Say why a trigger starts no run; None: it does.

    `facts` is what conditions look at: the CloudEvent as JSON for `event`, the body for `webhook` and `github`, else the params.
    """
    if workflow is None:
        return UNKNOWN_WORKFLOW
    wanted = workflow.trigger(trigger)
    journey = trigger == "event" and bool(workflow.triggers.event.event_type)
    if journey or not wanted.enabled or not hold(wanted.conditions, facts):
        return TRIGGER_DISABLED
    return exceeded(quota) if quota is not None and quota.used >= quota.limit else None


def exceeded(quota: Quota) -> Refusal:
    """Say that a quota is used up."""
    message = f"A quota has been exceeded. {quota.name}: {quota.used} / {quota.limit}"
    return Refusal(1020, "QUOTA_EXCEEDED", 429, message)
