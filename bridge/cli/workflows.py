# SPDX-License-Identifier: Apache-2.0
"""`evb workflows`: a tenant's workflows, as documents that lie in files."""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from bridge.cli.keys import Tenant
from bridge.cli.output import FAILED, out, show_json, show_rows
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.errors import InvalidValue, InvalidWorkflow, NotFound
from bridge.domain.moments import iso
from bridge.registry.changes import Changes
from bridge.registry.session import changing, reading
from bridge.registry.workflows import Applied, apply_workflow, delete_workflow, find_workflow
from bridge.workflows import yamltext
from bridge.workflows.document import Workflow
from bridge.workflows.limits import DOCUMENT_BYTES
from bridge.workflows.reading import read

app = typer.Typer(no_args_is_help=True, help="Apply, list, show, compare and delete workflows.")

AnyT = TypeVar("AnyT")
Name = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name of the workflow.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A document, JSON or YAML; `-`: stdin.", allow_dash=True)]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Documents, JSON or YAML; `-`: stdin.", allow_dash=True)]
Version = Annotated[int | None, typer.Option("--version", min=1, help="Number of the version; left out: the current one.")]


@app.command()
def apply(tenant: Tenant, files: Files, data: Data = None, as_json: AsJson = False) -> None:
    """Make each document the current version of its workflow, if it says anything new; all are checked before the first."""
    workflows = [_read(file) for file in files]

    async def run(changes: Changes) -> list[Applied]:
        return [await apply_workflow(changes, tenant, workflow) for workflow in workflows]

    applied = _change(data, run)
    if as_json:
        show_json([{"name": one.version.name, "version": one.version.number, "changed": one.changed} for one in applied])
        return
    for one in applied:
        said = f"version {one.version.number}" if one.changed else f"unchanged, version {one.version.number}"
        out.print(f"✓ workflow {one.version.name} of {tenant}: {said}", markup=False)


@app.command("list")
def list_(tenant: Tenant, data: Data = None, as_json: AsJson = False) -> None:
    """List a tenant's workflows."""
    with reading(operator_settings(data)) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        rows = [
            {
                "workflow": one.name,
                "version": one.number,
                "tasks": len(one.workflow.tasks),
                "triggers": ", ".join(one.workflow.triggers.enabled) or "none",
                "applied": iso(one.created_ms),
            }
            for one in registry.workflows.of(tenant)
            if one.workflow is not None
        ]
    columns = ("workflow", "version", "tasks", "triggers", "applied")
    show_rows(rows, columns, as_json=as_json, empty=f"No workflows yet: `evb workflows apply {tenant} FILE`.")


@app.command()
def get(tenant: Tenant, name: Name, version: Version = None, data: Data = None, as_json: AsJson = False) -> None:
    """Show a workflow's document, as YAML or as JSON."""
    with reading(operator_settings(data)) as registry:
        found = find_workflow(registry, tenant, name, version)
    if as_json:
        show_json(found.document)
    else:
        out.file.write(yamltext.write(found.document))


@app.command()
def diff(tenant: Tenant, file: File, version: Version = None, data: Data = None) -> None:
    """Show what applying a document would change; the exit code is 1 where that is anything."""
    workflow = _read(file)
    with reading(operator_settings(data)) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        known = version or registry.workflows.current(tenant, workflow.name) is not None
        held = find_workflow(registry, tenant, workflow.name, version) if known else None
    before = yamltext.write(held.document).splitlines() if held else []
    after = yamltext.write(workflow.plain()).splitlines()
    name = f"{workflow.name} version {held.number}" if held else f"{workflow.name} (none yet)"
    lines = list(difflib.unified_diff(before, after, name, str(file), lineterm=""))
    for line in lines:
        out.print(line, markup=False)
    if lines:
        raise typer.Exit(FAILED)


@app.command()
def delete(tenant: Tenant, name: Name, data: Data = None) -> None:
    """Let nobody start runs of a workflow any more; runs that began go on."""
    deleted = _change(data, lambda changes: delete_workflow(changes, tenant, name))
    out.print(f"✓ workflow {deleted.name} of {tenant} is deleted", markup=False)


def _read(file: Path) -> Workflow:
    try:
        text = sys.stdin.buffer.read(DOCUMENT_BYTES + 1) if str(file) == "-" else file.read_bytes()
    except OSError as err:
        raise InvalidValue(f"{file}: {err.strerror}.") from err
    try:
        return read(text)
    except InvalidWorkflow as err:
        lines = [f"\n  {fault.pointer or '/'}: {fault.detail}" for fault in err.faults]
        raise InvalidValue(f"{file} is no workflow:{''.join(lines)}") from err


def _change(data: Data, do: Callable[[Changes], Awaitable[AnyT]]) -> AnyT:
    async def run() -> AnyT:
        async with changing(operator_settings(data)) as changes:
            return await do(changes)

    return asyncio.run(run())
