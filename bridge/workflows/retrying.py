# SPDX-License-Identifier: Apache-2.0
"""Going on from what failed: which tasks are done again, under another attempt, and which keep what they came to."""

from __future__ import annotations

from bridge.workflows.limits import MINUTES
from bridge.workflows.motion import Motion
from bridge.workflows.references import Unresolved, as_text
from bridge.workflows.run import BAD, Run, TaskState
from bridge.workflows.signals import Retry
from bridge.workflows.starting import minutes_ms
from bridge.workflows.tasks import EventWaitTask

FAILED = (*BAD, "timedout", "cancelled")


def journey(run: Run) -> bool:
    """Say whether a message waits, or has waited, for a run or for the one that joined it with others."""
    return run.asker is not None or (run.parent is not None and run.trigger == "event")


def retryable(run: Run, task: str = "") -> bool:
    """Say whether a retry would do anything: of the run, or from one of its tasks. Not of a journey, whose message has ended."""
    if journey(run) or run.status not in ("failed", "timedout", "cancelled"):
        return False
    return not task or run.task(task).status in FAILED


def retry(motion: Motion, signal: Retry) -> None:
    """Do what failed again, and all that comes after it; a run that cannot be retried stays as it is."""
    run, workflow = motion.run, motion.workflow
    if not retryable(run, signal.task):
        return
    wanted = {signal.task} if signal.task else {name for name, state in motion.tasks.items() if state.status in FAILED}
    again = wanted | {name for name, state in motion.tasks.items() if state.status == "cancelled"}
    for task in workflow.in_order:
        if any(one.task_ref in again for one in task.dependencies):
            again.add(task.name)
    early = {topic: one for topic, one in run.early.items() if topic not in _used_topics(motion, again)}
    for name in again:
        if name in motion.tasks:
            motion.tasks[name] = TaskState(attempt=motion.tasks[name].attempt)
    due_ms = motion.at_ms + minutes_ms(workflow.timeout or MINUTES)
    motion.change(status="running", message="", ended_ms=0, due_ms=due_ms, retries=run.retries + 1, early=early)


def _used_topics(motion: Motion, again: set[str]) -> set[str]:
    """Give the topics whose event a task has had that now waits for another one."""
    found = set()
    for name in again:
        task = motion.workflow.by_name.get(name)
        if isinstance(task, EventWaitTask) and motion.task(name).status in ("succeeded", *BAD):
            try:
                found.add(as_text(motion.fill(task.params.topic)))
            except Unresolved:
                continue
    return found
