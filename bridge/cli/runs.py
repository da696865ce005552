# SPDX-License-Identifier: Apache-2.0
"""`evb runs`: start runs of workflows, list them, show one as a tree of its tasks, approve, end it, or go on from what failed."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from typing import Annotated, Any, get_args

import typer

from bridge.cli.keys import Tenant
from bridge.cli.output import out, show_json, show_rows
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.errors import Conflict, NotFound
from bridge.domain.moments import iso
from bridge.registry.session import reading
from bridge.registry.workflows import find_workflow
from bridge.runs.listing import runs_of
from bridge.runs.session import using_runs
from bridge.settings import Settings
from bridge.workflows.retrying import journey, retryable
from bridge.workflows.run import Run, Status
from bridge.workflows.shown import document
from bridge.workflows.signals import Approval, Cancel, Retry, Start
from bridge.workflows.tasks import ApprovalTask
from bridge.workflows.tree import tree
from bridge.workflows.triggers import refusal

app = typer.Typer(no_args_is_help=True, help="Start, list and show runs of workflows, end them, and go on from what failed.")

Name = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name of the workflow.")]
Params = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A param: JSON, or a text as it stands. Repeatable.")
]
Which = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


@app.command()
def start(tenant: Tenant, name: Name, params: Params = None, data: Data = None, as_json: AsJson = False) -> None:
    """Start a run of a workflow by hand, and show its id; not where its trigger `manual` is off."""
    settings, given = operator_settings(data), _params(params or [])
    with reading(settings) as registry:
        version = find_workflow(registry, tenant, name)
    if (refused := refusal(version.workflow, "manual", given)) is not None:
        raise Conflict(refused.message)
    wanted = Start(tenant=tenant, workflow=name, version=version.number, initiated_by=_user(), params=given)

    async def ask() -> Run:
        async with using_runs(settings) as runs:
            return await runs.start(wanted)

    run = asyncio.run(ask())
    if as_json:
        show_json({"id": run.id, "workflow": name, "version": version.number})
    else:
        out.print(f"✓ run {run.id} of {name} has begun: `evb runs get {tenant} {run.id}`", markup=False)


@app.command("list")
def list_(
    tenant: Tenant,
    workflow: Annotated[str, typer.Option(help="Runs of this workflow only.")] = "",
    status: Annotated[str, typer.Option(help="Runs of this status only, such as waiting.")] = "",
    most: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List a tenant's runs, the newest first."""
    settings = operator_settings(data)
    if status and status not in get_args(Status):
        raise typer.BadParameter(f"{status} is none of {', '.join(get_args(Status))}", param_hint="--status")
    with reading(settings) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
    found = [one for one in runs_of(settings, tenant) if workflow in ("", one.workflow) and status in ("", one.status)]
    rows = [
        {
            "run": one.id,
            "workflow": f"{one.workflow}.{one.version}",
            "status": one.status,
            "trigger": one.trigger,
            "began": iso(one.created_ms),
            "ended": iso(one.ended_ms) if one.ended_ms else "",
        }
        for one in found[:most]
    ]
    columns = ("run", "workflow", "status", "trigger", "began", "ended")
    show_rows(rows, columns, as_json=as_json, empty=f"No such runs: `evb runs start {tenant} WORKFLOW` begins one.")


@app.command()
def get(tenant: Tenant, which: Which, data: Data = None, as_json: AsJson = False) -> None:
    """Show a run and how far each of its tasks is."""
    settings = operator_settings(data)
    run = asyncio.run(_find(settings, tenant, which))
    with reading(settings) as registry:
        workflow = registry.workflows.of_run(run)
    if workflow is None:
        raise NotFound(f"Version {run.version} of the workflow {run.workflow} is not there any more.")
    if as_json:
        show_json(document(run, workflow))
    else:
        out.file.write(tree(run, workflow))


@app.command()
def cancel(
    tenant: Tenant,
    which: Which,
    reason: Annotated[str, typer.Option(help="Why; whoever looks the run up is told.")] = "",
    data: Data = None,
) -> None:
    """End a run, with everything in it that has not ended."""

    async def ask(settings: Settings) -> None:
        async with using_runs(settings) as runs:
            if (run := await runs.find(tenant, which)).ended:
                raise Conflict(f"The run has ended: it is {run.status}.")
            await runs.signal(tenant, which, Cancel(reason=reason))

    asyncio.run(ask(operator_settings(data)))
    out.print(f"✓ run {which} of {tenant} is told to end", markup=False)


@app.command()
def retry(
    tenant: Tenant,
    which: Which,
    task: Annotated[str, typer.Option(help="Name of a task that failed; left out: all that failed.")] = "",
    data: Data = None,
) -> None:
    """Do what failed again, and all that comes after it."""

    async def ask(settings: Settings) -> None:
        async with using_runs(settings) as runs:
            run = await runs.find(tenant, which)
            if not retryable(run, task):
                if journey(run):
                    raise Conflict("A journey cannot be retried: its message has ended. Replay that one: evb dlq replay.")
                what = f"the task {task} is {run.task(task).status}" if task else f"it is {run.status}"
                raise Conflict(f"The run cannot be retried: {what}.")
            await runs.signal(tenant, which, Retry(task=task))

    asyncio.run(ask(operator_settings(data)))
    out.print(f"✓ run {which} of {tenant} is told to go on", markup=False)


@app.command()
def approve(
    tenant: Tenant,
    which: Which,
    task: Annotated[str, typer.Argument(help="Name of the approval that waits.")],
    reject: Annotated[bool, typer.Option("--reject", help="Say no: the task fails.")] = False,
    comment: Annotated[str, typer.Option(help="What later tasks and whoever looks the run up are told.")] = "",
    data: Data = None,
) -> None:
    """Say yes, or no, to an approval that a run waits for."""

    async def ask(settings: Settings) -> None:
        async with using_runs(settings) as runs:
            run = await runs.find(tenant, which)
            workflow = registry.workflows.of_run(run)
            if workflow is None or not isinstance(workflow.by_name.get(task), ApprovalTask):
                raise NotFound(f"The workflow {run.workflow} has no approval {task}.")
            if not run.task(task).active:
                raise Conflict(f"The run does not wait for {task}: it is {run.task(task).status}.")
            said = Approval(task=task, approved=not reject, by=_user(), comment=comment)
            await runs.signal(tenant, which, said)

    settings = operator_settings(data)
    with reading(settings) as registry:
        asyncio.run(ask(settings))
    out.print(f"✓ {task} of run {which} is {'rejected' if reject else 'approved'}", markup=False)


def _user() -> str:
    """Say who asks; in a container nobody may have a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


async def _find(settings: Settings, tenant: str, which: str) -> Run:
    async with using_runs(settings) as runs:
        return await runs.find(tenant, which)


def _params(given: list[str]) -> dict[str, Any]:
    """Read params: what is no JSON is a text."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE", param_hint="--param")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
