# SPDX-License-Identifier: Apache-2.0
"""One step of a run while it is being made: the changed tasks, the effects, and the two ways in which things end."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from bridge.domain import ids
from bridge.workflows.document import Workflow
from bridge.workflows.effects import Answer, Effect, Step, TellRun
from bridge.workflows.journeys import journeys_of
from bridge.workflows.limits import REASON_CHARS, STEP_CHARS
from bridge.workflows.references import Filling, Given, Unresolved
from bridge.workflows.run import NOT_STARTED, Asker, Parent, Run, Status, TaskState, given_params
from bridge.workflows.signals import Cancel, TaskEnded
from bridge.workflows.tasks import WorkflowTask


class Motion:
    """Made by `advance` for one signal at one time."""

    def __init__(self, run: Run, workflow: Workflow, at_ms: int) -> None:
        self.run, self.workflow, self.at_ms = run, workflow, at_ms
        self.tasks = dict(run.tasks)
        self.effects: list[Effect] = []
        self._left = STEP_CHARS

    def task(self, name: str) -> TaskState:
        """Give how far a task is now."""
        return self.tasks.get(name, NOT_STARTED)

    def change(self, **members: Any) -> None:
        """Change members of the run."""
        self.run = msgspec.structs.replace(self.run, **members)

    def fill(self, value: Any) -> Any:
        """Replace the references in a value by what is known now. Raises: Unresolved."""
        results = {name: state.results for name, state in self.tasks.items() if state.results}
        filling = Filling(Given(self.run.id, self._params, results))
        filled = filling.fill(value)
        self._left -= filling.put_in
        if self._left < 0:
            raise Unresolved(f"the tasks that begin together would have more than {STEP_CHARS} characters")
        return filled

    @cached_property
    def _params(self) -> dict[str, Any]:
        """The run's params, which no step changes."""
        return given_params(self.run, self.workflow)

    def begin_task(self, name: str, status: Status, due_ms: int = 0) -> None:
        """Note that an attempt has begun."""
        self.tasks[name] = TaskState(status, self.task(name).attempt + 1, self.at_ms, due_ms=due_ms)

    def end_task(self, name: str, status: Status, results: dict[str, Any] | None = None, message: str = "") -> None:
        """Note how an attempt has ended, or that there is none."""
        said = message[:REASON_CHARS]
        self.tasks[name] = msgspec.structs.replace(
            self.task(name), status=status, ended_ms=self.at_ms, due_ms=0, results=results or {}, message=said
        )

    def end_run(self, status: Status, message: str = "") -> None:
        """End the run: what is active is cancelled, and a parent is told."""
        for name, state in self.tasks.items():
            if state.active:
                self.tasks[name] = msgspec.structs.replace(state, status="cancelled", ended_ms=self.at_ms, due_ms=0)
                if isinstance(self.workflow.by_name.get(name), WorkflowTask):
                    self.effects.append(
                        TellRun(ids.task_id(self.run.id, name, state.attempt), Cancel(reason="The parent run has ended."))
                    )
        self.change(status=status, message=message[:REASON_CHARS], ended_ms=self.at_ms, due_ms=0)
        if self.run.parent is not None:
            self._tell(self.run.parent)
        if self.run.asker is not None and self.run.asker.headers:
            self.effects.append(Answer(self.run.asker, journeys_of(self.run, self.workflow, self.tasks)))
            self.change(asker=Asker())

    def _tell(self, parent: Parent) -> None:
        run, succeeded = self.run, self.run.status == "succeeded"
        ended = TaskEnded(
            task=parent.task,
            attempt=parent.attempt,
            status="succeeded" if succeeded else "failed",
            results={"data": results(run, self.workflow, self.tasks)},
            reason=run.message or ("" if succeeded else f"The run is {run.status}."),
        )
        self.effects.append(TellRun(parent.run_id, ended))

    def step(self) -> Step:
        """Give what has become of the run."""
        dues = [state.due_ms for state in self.tasks.values() if state.due_ms]
        next_due_ms = min([*dues, self.run.due_ms]) if self.run.due_ms else 0
        self.change(tasks=self.tasks, next_due_ms=next_due_ms)
        return Step(self.run, tuple(self.effects))


def results(run: Run, workflow: Workflow, tasks: Mapping[str, TaskState]) -> dict[str, Any]:
    """Give the results of a run that has succeeded; one without a value, or too large, is left out."""
    found: dict[str, Any] = {}
    filling = Filling(given(run, workflow, tasks))
    for one in workflow.results if run.status == "succeeded" else ():
        try:
            found[one.name] = filling.fill(one.value)
        except Unresolved:
            continue
    return found


def given(run: Run, workflow: Workflow, tasks: Mapping[str, TaskState]) -> Given:
    """Give what references are looked up in."""
    there = {name: state.results for name, state in tasks.items() if state.results}
    return Given(run.id, given_params(run, workflow), there)
