# SPDX-License-Identifier: Apache-2.0
"""A run as a tree of its tasks, in text: for `evb runs get`."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.workflows.document import Workflow
from bridge.workflows.run import Run, Status
from bridge.workflows.tasks import Task

MARKS: dict[Status, str] = {
    "notstarted": "·",
    "ready": "·",
    "running": "▶",
    "waiting": "◔",
    "succeeded": "✓",
    "failed": "✗",
    "invalid": "✗",
    "skipped": "–",
    "cancelled": "■",
    "timedout": "✗",
}


def tree(run: Run, workflow: Workflow) -> str:
    """Give one line for the run and one for each task, below the last one that it waits for."""
    at = {task.name: place for place, task in enumerate(workflow.in_order)}
    below: dict[str, list[Task]] = {}
    for task in workflow.in_order:
        last = max((one.task_ref for one in task.dependencies), key=at.__getitem__, default="")
        below.setdefault(last, []).append(task)
    head = f"{MARKS[run.status]} {run.workflow} version {run.version}  {run.status}{_said(run.message)}"
    return "\n".join([head, *_lines(run, below, "", "")]) + "\n"


def _lines(run: Run, below: dict[str, list[Task]], name: str, indent: str) -> Iterator[str]:
    tasks = below.get(name, [])
    for task in tasks:
        state, last = run.task(task.name), task is tasks[-1]
        others = [one.task_ref for one in task.dependencies if one.task_ref != name]
        took = f" {(state.ended_ms - state.started_ms) / 1000:.1f} s" if state.started_ms and state.ended_ms else ""
        again = f" attempt {state.attempt}" if state.attempt > 1 else ""
        after = f" (also after {', '.join(others)})" if others else ""
        yield (
            f"{indent}{'└' if last else '├'}─ {MARKS[state.status]} {task.name}  "
            f"{task.type}  {state.status}{took}{again}{after}{_said(state.message)}"
        )
        yield from _lines(run, below, task.name, indent + ("   " if last else "│  "))


def _said(message: str) -> str:
    """Keep what others said on one line, and from moving the cursor."""
    text = "".join(letter if letter.isprintable() else " " for letter in message[:200])
    return f": {text}" if text else ""
