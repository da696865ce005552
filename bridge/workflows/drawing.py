# SPDX-License-Identifier: Apache-2.0
"""
A run as a picture: an SVG of its tasks in layers, each below all that it waits for, coloured and named by status.

It needs no style sheet and no script, so it can be shown under any content security policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from bridge.workflows.document import Workflow
from bridge.workflows.run import Run, Status
from bridge.workflows.tasks import Dependency, Task

WIDTH, HEIGHT, GAP, LAYER, MARGIN = 190, 46, 24, 96, 16
LETTERS = 24
COLOURS: dict[Status, str] = {
    "notstarted": "#9aa0a6",
    "ready": "#9aa0a6",
    "running": "#1a73e8",
    "waiting": "#b06000",
    "succeeded": "#188038",
    "failed": "#c5221f",
    "invalid": "#c5221f",
    "skipped": "#9aa0a6",
    "cancelled": "#5f6368",
    "timedout": "#c5221f",
}


class Place(NamedTuple):
    """The upper left corner of a task's box."""

    x: int
    y: int


def places(workflow: Workflow) -> dict[str, Place]:
    """Lay the tasks out: in layers by the longest way to them, in each by the middle of what they wait for."""
    layer: dict[str, int] = {}
    for task in workflow.in_order:
        layer[task.name] = max((layer[one.task_ref] + 1 for one in task.dependencies), default=0)
    rows: list[list[Task]] = [[] for _ in range(max(layer.values()) + 1)]
    for task in workflow.in_order:
        rows[layer[task.name]].append(task)
    widest = max(map(len, rows))
    found: dict[str, Place] = {}
    for depth, row in enumerate(rows):
        row.sort(key=lambda task: sum(found[one.task_ref].x for one in task.dependencies) / max(len(task.dependencies), 1))
        left = MARGIN + (widest - len(row)) * (WIDTH + GAP) // 2
        for at, task in enumerate(row):
            found[task.name] = Place(left + at * (WIDTH + GAP), MARGIN + depth * LAYER)
    return found


def svg(run: Run, workflow: Workflow) -> str:
    """Draw a run."""
    at = places(workflow)
    width = max(place.x for place in at.values()) + WIDTH + MARGIN
    height = max(place.y for place in at.values()) + HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'font-family="sans-serif" font-size="13">',
        f"<title>{escape(run.workflow)} version {run.version}: {run.status}</title>",
        *(_line(at[one.task_ref], at[task.name], one) for task in workflow.tasks for one in task.dependencies),
        *(part for task in workflow.tasks for part in _box(task, run, at[task.name])),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(start: Place, end: Place, dependency: Dependency) -> str:
    x1, y1, x2, y2 = start.x + WIDTH // 2, start.y + HEIGHT, end.x + WIDTH // 2, end.y
    middle = (y1 + y2) // 2
    wanted = [dependency.execution_condition] if dependency.execution_condition != "always" else []
    said = escape(" ".join([*wanted, *([dependency.decision_condition[:LETTERS]] if dependency.decision_condition else [])]))
    path = f'<path d="M{x1},{y1} C{x1},{middle} {x2},{middle} {x2},{y2}" fill="none" stroke="#9aa0a6" stroke-width="1.5"/>'
    label = f'<text x="{(x1 + x2) // 2 + 4}" y="{middle}" font-size="11" fill="#5f6368">{said}</text>' if said else ""
    return path + label


def _box(task: Task, run: Run, place: Place) -> Iterator[str]:
    state = run.task(task.name)
    colour = COLOURS[state.status]
    dashes = ' stroke-dasharray="4 3"' if state.status in ("notstarted", "ready", "skipped") else ""
    name = task.name if len(task.name) <= LETTERS else task.name[: LETTERS - 1] + "…"
    said = f"{task.name} ({task.type}): {state.status}{state.message and ', '}{state.message[:200]}"
    yield f"<g><title>{escape(_printable(said))}</title>"
    yield (
        f'<rect x="{place.x}" y="{place.y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff" '
        f'stroke="{colour}" stroke-width="2"{dashes}/>'
    )
    yield f'<text x="{place.x + 10}" y="{place.y + 19}" fill="#202124">{escape(name)}</text>'
    yield f'<text x="{place.x + 10}" y="{place.y + 36}" font-size="11" fill="{colour}">{task.type} · {state.status}</text></g>'


def _printable(text: str) -> str:
    """Leave out what XML cannot have."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
