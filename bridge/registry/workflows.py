# SPDX-License-Identifier: Apache-2.0
"""Use cases for a tenant's workflows: apply, find, delete. Called by `evb workflows` and the doors."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.registry.changes import Changes, now_ms
from bridge.registry.tenants import find_tenant
from bridge.registry.view import View
from bridge.registry.workflow import WorkflowVersion
from bridge.workflows.document import Workflow
from bridge.workflows.limits import MINUTES

MOST = 200
"""Workflows of one tenant."""
BYTES = 4 * 1024 * 1024
"""All documents of one tenant, old versions too: every process holds them in memory."""
KEPT_MS = 2 * MINUTES * 60_000
"""How long an old version can be read: as long as a run may take, and once more as long as it can be looked at afterwards."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The current version of a workflow, and whether it is a new one."""

    version: WorkflowVersion
    changed: bool


async def apply_workflow(changes: Changes, tenant: str, workflow: Workflow) -> Applied:
    """
    Make a document the current version of its workflow, if it says anything new; runs go on with the version they began with.

    Again:  harmless: what says the same makes no version.
    Raises: NotFound or Conflict for the tenant, Conflict where somebody else applied one meanwhile, InvalidValue where the tenant
            has too much, and what decisions raise.
    """
    owner, _ = find_tenant(changes, tenant)
    if owner.state == "closed":
        raise Conflict(f"The tenant {tenant} is closed.")
    index, document = changes.registry.workflows, workflow.plain()
    current = index.current(tenant, workflow.name)
    if current is not None and current.document == document:
        return Applied(current, changed=False)
    await _erase_old(changes, tenant)
    known = index.versions(tenant, workflow.name)
    number = known[-1].number + 1 if known else 1
    made = WorkflowVersion(tenant=tenant, name=workflow.name, number=number, document=document, created_ms=now_ms())
    _require_room(changes.registry, made)
    await changes.put(made, expected=0)
    return Applied(made, changed=True)


async def delete_workflow(changes: Changes, tenant: str, name: str) -> WorkflowVersion:
    """Let nobody start runs of a workflow any more; runs that began go on. Raises: NotFound, what decisions raise."""
    find_tenant(changes, tenant)
    current = find_workflow(changes.registry, tenant, name)
    deleted = msgspec.structs.replace(current, deleted_ms=now_ms())
    await changes.put(deleted, changes.registry.held(current.ref).version)
    return deleted


def find_workflow(registry: View, tenant: str, name: str, number: int | None = None) -> WorkflowVersion:
    """Give the current version of a workflow, or one by its number that is not erased. Raises: NotFound."""
    if number is None:
        found = registry.workflows.current(tenant, name)
    else:
        known = registry.workflows.versions(tenant, name)
        found = next((one for one in known if one.number == number and one.document), None)
    if found is None:
        raise NotFound(f"The tenant {tenant} has no workflow {name}{f' of version {number}' if number is not None else ''}.")
    return found


async def _erase_old(changes: Changes, tenant: str) -> None:
    """Take the documents from versions that no run can need any more."""
    versions, before_ms = changes.registry.workflows.all(tenant), now_ms() - KEPT_MS
    for one, following in zip(versions, (*versions[1:], None), strict=False):
        ended_ms = following.created_ms if following is not None and following.name == one.name else one.deleted_ms
        if one.document and 0 < ended_ms < before_ms:
            await changes.put(msgspec.structs.replace(one, document={}), changes.registry.held(one.ref).version)


def _require_room(registry: View, new: WorkflowVersion) -> None:
    there = registry.workflows.of(new.tenant)
    if len(there) >= MOST and all(one.name != new.name for one in there):
        raise InvalidValue(f"A tenant has at most {MOST} workflows.")
    size = sum(len(msgspec.json.encode(one.document)) for one in (*registry.workflows.all(new.tenant), new))
    if size > BYTES:
        raise InvalidValue(
            f"The tenant's workflows would take {size} bytes with their old versions; the limit is {BYTES}. "
            f"An old version goes {KEPT_MS // 86_400_000} days after it was replaced."
        )
