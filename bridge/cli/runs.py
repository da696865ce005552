# SPDX-License-Identifier: Apache-2.0
"""`evb runs`: look a run of a workflow up as a tree of its tasks, approve, end it, or go on from what failed."""

from __future__ import annotations

import asyncio
import getpass
import os
from typing import Annotated

import typer

from bridge.cli.keys import Tenant
from bridge.cli.output import out, show_json
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.errors import Conflict, NotFound
from bridge.registry.session import reading
from bridge.runs.session import using_runs
from bridge.settings import Settings
from bridge.workflows.retrying import retryable
from bridge.workflows.run import Run
from bridge.workflows.shown import document
from bridge.workflows.signals import Approval, Cancel, Retry
from bridge.workflows.tasks import ApprovalTask
from bridge.workflows.tree import tree

app = typer.Typer(no_args_is_help=True, help="Show runs of workflows, end them, and go on from what failed.")

Which = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


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
                if run.asker is not None:
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
