# SPDX-License-Identifier: Apache-2.0
"""
Which tasks begin and which are skipped, and how a run ends that has nothing more to do.

A task waits for all that it depends on. `success` must hold of each; of `always`, `failure` and decisions one is enough. What
was skipped because nothing led to it does not count, what was skipped because something failed counts as not succeeded.
"""

from __future__ import annotations

from enum import Enum

from bridge.workflows.document import Workflow
from bridge.workflows.motion import Motion
from bridge.workflows.references import as_text
from bridge.workflows.run import BAD, TaskState
from bridge.workflows.starting import start
from bridge.workflows.tasks import DecisionTask, Dependency


class Edge(Enum):
    """What a dependency says of the task behind it."""

    WAIT = "its task has not ended"
    OPEN = "go on"
    SHUT = "it had to succeed and has not"
    VOID = "this way is not taken"


def settle(motion: Motion) -> None:
    """Begin and skip every task that can be; end the run where nothing is left."""
    missed = set[str]()
    for task in motion.workflow.in_order:
        state = motion.task(task.name)
        if state.status not in ("notstarted", "skipped"):
            continue
        edges = {_edge(motion, one, missed) for one in task.dependencies}
        if Edge.SHUT in edges:
            missed.add(task.name)
        if state.status == "skipped" or Edge.WAIT in edges:
            continue
        if Edge.SHUT in edges or edges == {Edge.VOID}:
            motion.end_task(task.name, "skipped")
        else:
            start(motion, task)
    states = [motion.task(task.name) for task in motion.workflow.tasks]
    if all(state.ended for state in states):
        _end(motion)
    else:
        active = [state.status for state in states if state.active]
        motion.change(status="waiting" if "running" not in active else "running")


def handled(workflow: Workflow, name: str, states: dict[str, TaskState]) -> bool:
    """Say whether the workflow goes on from a task's failure by a `failure` dependency."""
    return any(
        one.task_ref == name and one.execution_condition == "failure" and states[later].status != "skipped"
        for later in workflow.after[name]
        for one in workflow.by_name[later].dependencies
    )


def _end(motion: Motion) -> None:
    for task in motion.workflow.tasks:
        state = motion.tasks[task.name]
        if state.status in BAD and not handled(motion.workflow, task.name, motion.tasks):
            motion.end_run("failed", f"The task {task.name} is {state.status}{state.message and ': '}{state.message}")
            return
    motion.end_run("succeeded")


def _edge(motion: Motion, dependency: Dependency, missed: set[str]) -> Edge:
    before, state = motion.workflow.by_name[dependency.task_ref], motion.task(dependency.task_ref)
    condition = dependency.execution_condition
    if not state.ended:
        return Edge.WAIT
    if state.status == "skipped":
        return Edge.SHUT if condition == "success" and before.name in missed else Edge.VOID
    succeeded = state.status == "succeeded"
    if condition == "success" and not succeeded:
        return Edge.SHUT
    if condition == "failure" and succeeded:
        return Edge.VOID
    if isinstance(before, DecisionTask) and not _chosen(motion, before, state, dependency):
        return Edge.VOID
    return Edge.OPEN


def _chosen(motion: Motion, decision: DecisionTask, state: TaskState, dependency: Dependency) -> bool:
    """Say whether a decision leads on; without a condition it does where no other task's condition is met."""
    if state.status != "succeeded":
        return not dependency.decision_condition
    value = as_text(state.results["value"])
    if dependency.decision_condition:
        return dependency.decision_condition == value
    return all(
        one.decision_condition != value
        for later in motion.workflow.after[decision.name]
        for one in motion.workflow.by_name[later].dependencies
        if one.task_ref == decision.name and one.decision_condition
    )
