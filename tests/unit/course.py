# SPDX-License-Identifier: Apache-2.0
"""A run under test, given signals one after the other, and the tasks of its workflow."""

from __future__ import annotations

from typing import Any

from bridge.workflows import run as kept
from bridge.workflows import signals
from bridge.workflows.advance import advance
from bridge.workflows.document import Workflow
from bridge.workflows.effects import Effect
from bridge.workflows.reading import check
from bridge.workflows.run import Run
from bridge.workflows.signals import Signal, Start, TaskEnded

MINUTE = 60_000


class Course:
    """One run under test; every signal is also written and read, given twice, and the run kept and read between two."""

    def __init__(self, *tasks: dict[str, Any], start: dict[str, Any] | None = None, **more: Any) -> None:
        self.workflow: Workflow = check({"name": "w", "tasks": list(tasks), **more})
        self.kept: bytes | None = None
        self.at = 1_764_373_000_000
        self.effects: list[Effect] = []
        self.give(Start(tenant="t", workflow="w", version=1, **(start or {})))

    def give(self, signal: Signal, at: int = 0) -> list[Effect]:
        self.at = max(self.at, at) + 1
        signal = signals.decode(signals.encode(signal))
        before = kept.decode(self.kept) if self.kept else None
        step = advance("r", before, self.workflow, signal, self.at)
        assert advance("r", before, self.workflow, signal, self.at) == step, "the same again after a crash"
        assert step.run is not None
        if step.run == before:
            assert not step.effects
        self.kept = kept.encode(step.run)
        assert kept.decode(self.kept) == step.run
        assert kept.next_due_ms(self.kept) == step.run.next_due_ms
        self.effects += step.effects
        return list(step.effects)

    @property
    def run(self) -> Run:
        assert self.kept is not None
        return kept.decode(self.kept)

    def statuses(self) -> dict[str, str]:
        return {task.name: self.run.task(task.name).status for task in self.workflow.tasks}

    def doing(self, kind: type[Effect]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def end(self, task: str, status: Any = "succeeded", data: Any = None) -> list[Effect]:
        attempt = self.run.task(task).attempt
        return self.give(TaskEnded(task=task, attempt=attempt, status=status, results={"data": data}, reason="why"))


def task(name: str, *before: Any, type: str = "process", **more: Any) -> dict[str, Any]:
    """A task; `before` are names, or (name, condition), or (decision, condition, value)."""
    dependencies = [_dependency(*((one,) if isinstance(one, str) else one)) for one in before]
    own = {"processRef": "p"} if type == "process" else {"workflowRef": "child"} if type == "workflow" else {}
    return {"name": name, "type": type, "dependencies": dependencies, **own, **more}


def _dependency(ref: str, condition: str = "always", value: str = "") -> dict[str, str]:
    return {"taskRef": ref, "executionCondition": condition, "decisionCondition": value}


def wait(name: str, *before: Any, topic: str = "t", **more: Any) -> dict[str, Any]:
    return task(name, *before, type="eventwait", params={"topic": topic}, **more)
