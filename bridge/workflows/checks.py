# SPDX-License-Identifier: Apache-2.0
"""
What one part of a workflow's document says of another: names given once, tasks that exist, no cycles, references with a target.

Works on the JSON as it was given, whatever else is wrong with it: so all faults are named at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bridge.domain.errors import Fault
from bridge.workflows import graph, references
from bridge.workflows.tasks import KINDS

ALWAYS_GIVEN = frozenset({"data", "event"})
"""Params that a trigger gives whether or not they are declared."""

Place = tuple[str | int, ...]


class Draft:
    """The parts of a document that refer to one another, as far as they can be read."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.params = list(_named(value.get("params")))
        self.results = list(_named(value.get("results")))
        self.tasks = list(_named(value.get("tasks")))
        self.kinds = {name: KINDS.get(str(task.get("type"))) for _, name, task in self.tasks}
        self.before: dict[str, list[str]] = {}
        for _, name, task in self.tasks:
            self.before.setdefault(name, [one["taskRef"] for _, one in dependencies(task)])


def dependencies(task: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Give the dependencies of a task that name one, each with its place."""
    found = enumerate(_list(task.get("dependencies")))
    return [(at, one) for at, one in found if isinstance(one, dict) and isinstance(one.get("taskRef"), str)]


def faults_between(draft: Draft) -> Iterator[Fault]:
    """Give every fault between the parts of a document."""
    for part, found in (("params", draft.params), ("tasks", draft.tasks), ("results", draft.results)):
        yield from _twice(part, found)
    for at, _, task in draft.tasks:
        yield from _dependency_faults(draft, at, task)
    if cycle := graph.cycle(draft.before):
        at = next(at for at, name, _ in draft.tasks if name == cycle[0])
        yield Fault(f"/tasks/{at}/dependencies", f"is a cycle: {' waits for '.join([*cycle, cycle[0]])}")
    ancestors = graph.ancestors(draft.before)
    for at, name, task in draft.tasks:
        if str(task.get("type")) in KINDS:
            yield from _reference_faults(draft, ("tasks", at, "params"), task.get("params"), ancestors[name])
    for at, _, result in draft.results:
        yield from _reference_faults(draft, ("results", at, "value"), result.get("value"), frozenset(draft.kinds))


def pointer(value: Any, place: Sequence[str | int]) -> str:
    """
    Give the JSON Pointer of a fault's place as pydantic names it.

    The kind of a task is left out, and params that were given as a list are found in that list.
    """
    found, steps = list[str | int](), list(place)
    if len(steps) > 2 and steps[0] == "tasks" and steps[2] in KINDS:
        del steps[2]
    for step in steps:
        if isinstance(value, list) and isinstance(step, str):
            at = next((i for i, one in enumerate(value) if isinstance(one, dict) and one.get("name") == step), None)
            if at is None:
                break
            found += [at, "value"]
            value = value[at].get("value")
            continue
        known = isinstance(value, (dict, list))
        if not known:
            break  # what pydantic adds behind a value: which member of a union it tried
        found.append(step)
        value = _member(value, step)
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in found)


def _dependency_faults(draft: Draft, at: int, task: dict[str, Any]) -> Iterator[Fault]:
    seen = set[str]()
    for position, one in dependencies(task):
        reference, place = one["taskRef"], f"/tasks/{at}/dependencies/{position}"
        if reference not in draft.kinds:
            yield Fault(f"{place}/taskRef", f"there is no task {reference!r}")
        if reference in seen:
            yield Fault(f"{place}/taskRef", f"{reference!r} is named twice")
        seen.add(reference)
        kind = draft.kinds.get(reference)
        if one.get("decisionCondition") and kind is not None and kind is not KINDS["decision"]:
            yield Fault(f"{place}/decisionCondition", f"{reference!r} is no decision")


def _reference_faults(draft: Draft, place: Place, value: Any, known: frozenset[str]) -> Iterator[Fault]:
    for where, text in references.walk(value, place):
        try:
            found = references.parse(text)
        except ValueError as err:
            yield Fault(pointer(draft.value, where), str(err))
            continue
        for one in found:
            wrong = _wrong(draft, one, known)
            if wrong:
                yield Fault(pointer(draft.value, where), f"{one.text}: {wrong}")


def _wrong(draft: Draft, reference: references.Reference, known: frozenset[str]) -> str:
    if not reference.name:
        return ""
    if not reference.task:
        declared = reference.name in ALWAYS_GIVEN or any(name == reference.name for _, name, _ in draft.params)
        return "" if declared else f"there is no param {reference.name!r}"
    if reference.task not in draft.kinds:
        return f"there is no task {reference.task!r}"
    kind = draft.kinds[reference.task]
    if kind is not None and reference.name not in kind.results:
        return f"a task of this type has {', '.join(map(repr, sorted(kind.results))) or 'no results'}"
    return "" if reference.task in known else f"{reference.task!r} does not come before this task"


def _twice(part: str, found: Sequence[tuple[int, str, Any]]) -> Iterator[Fault]:
    seen = set[str]()
    for at, name, _ in found:
        if name in seen:
            yield Fault(f"/{part}/{at}/name", f"{name!r} is named twice")
        seen.add(name)


def _named(value: Any) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for at, one in enumerate(_list(value)):
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            yield at, one["name"], one


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _member(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(str(step))
    return value[step] if isinstance(step, int) and step < len(value) else None
