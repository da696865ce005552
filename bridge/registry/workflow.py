# SPDX-License-Identifier: Apache-2.0
"""
One version of a tenant's workflow as an object of the registry, and the index that finds it; changed by `workflows`.

Each version is an object of its own and never changes, but for its end: the highest number is the current one, and a run finds
the version that it began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from bridge.decisions.facts import Ref
from bridge.domain.errors import InvalidWorkflow
from bridge.registry.default_journeys import DEFAULT_JOURNEYS
from bridge.registry.fields import Millis, Name
from bridge.workflows.document import Workflow
from bridge.workflows.journeys import JOINING, SHIPPED, joined
from bridge.workflows.reading import check
from bridge.workflows.run import Run
from bridge.workflows.signals import Start

Number = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]


class WorkflowVersion(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """
    A document and its number; an erased one has no document left.

    `deleted_ms`: nobody may start runs of the workflow any more, if this is its highest number.
    """

    tenant: Name
    name: Name
    number: Number
    document: dict[str, Any]
    created_ms: Millis = 0
    deleted_ms: Millis = 0

    @property
    def ref(self) -> Ref:
        """The name under which it is kept."""
        return Ref("workflow", self.tenant, f"{self.name}.{self.number}")

    @cached_property
    def workflow(self) -> Workflow | None:
        """The document as a value, read once; None once it is erased. Raises: ValueError."""
        if not self.document:
            return None
        try:
            return check(self.document)
        except InvalidWorkflow as err:
            raise ValueError(str(err)) from err


Versions = Mapping[str, tuple[WorkflowVersion, ...]]
NOTHING: Final[Versions] = {}


class _Journeys(NamedTuple):
    """A tenant's journeys by their event type, and the versions that they were found among: another thread may replace those."""

    versions: Versions
    by_type: Versions


def _by_type(current: Iterable[WorkflowVersion]) -> Versions:
    found: dict[str, list[WorkflowVersion]] = {}
    for one in current:
        if one.workflow is not None and (trigger := one.workflow.triggers.event).enabled and trigger.event_type:
            found.setdefault(trigger.event_type, []).append(one)
    return {name: tuple(versions) for name, versions in found.items()}


class WorkflowIndex:
    """Follows every change of a workflow; the rules of threads are those of `view`."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, tuple[WorkflowVersion, ...]]] = {}
        self._journeys: dict[str, _Journeys] = {}

    def versions(self, tenant: str, name: str) -> tuple[WorkflowVersion, ...]:
        """Give every version of a workflow, the oldest first, erased ones too."""
        return self._of.get(tenant, {}).get(name, ())

    def current(self, tenant: str, name: str) -> WorkflowVersion | None:
        """Give the version of which runs may be started; None where there is none, or it was deleted."""
        found = self.versions(tenant, name)
        return found[-1] if found and not found[-1].deleted_ms else None

    def version(self, tenant: str, name: str, number: int) -> Workflow | None:
        """Give a version for its runs, also where it was superseded or deleted; None once it is erased."""
        return next((one.workflow for one in reversed(self.versions(tenant, name)) if one.number == number), None)

    def of_run(self, run: Run | Start) -> Workflow | None:
        """Give the version that a run began with, also of those that come with the bridge; None once it is erased."""
        if run.version != SHIPPED:
            return self.version(run.tenant, run.workflow, run.version)
        if run.workflow == JOINING:
            return joined(run.params) if JOINING in run.params else None
        return DEFAULT_JOURNEYS.get(run.workflow)

    def journeys(self, tenant: str, event_type: str) -> tuple[WorkflowVersion, ...]:
        """Give the current versions, by name, whose event trigger is on and names an event type of messages."""
        versions = self._of.get(tenant, NOTHING)
        known = self._journeys.get(tenant)
        if known is None or known.versions is not versions:
            known = self._journeys[tenant] = _Journeys(versions, _by_type(self.of(tenant)))
        return known.by_type.get(event_type, ())

    def of(self, tenant: str) -> tuple[WorkflowVersion, ...]:
        """Give the current version of each of a tenant's workflows, by name."""
        found = [self.current(tenant, name) for name in sorted(self._of.get(tenant, {}))]
        return tuple(one for one in found if one is not None)

    def all(self, tenant: str) -> tuple[WorkflowVersion, ...]:
        """Give every version of every workflow of a tenant, by name and number."""
        return tuple(one for _, versions in sorted(self._of.get(tenant, {}).items()) for one in versions)

    def replace(self, ref: Ref, new: object) -> None:
        """Take an object's new state; None: it is gone, or cannot be read."""
        name, _, number = ref.id.rpartition(".")
        if ref.kind != "workflow" or not number.isdigit():
            return
        found = [one for one in self.versions(ref.tenant, name) if one.number != int(number)]
        if isinstance(new, WorkflowVersion):
            found.append(new)
        self._of[ref.tenant] = self._of.get(ref.tenant, {}) | {name: tuple(sorted(found, key=lambda one: one.number))}
