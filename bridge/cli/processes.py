# SPDX-License-Identifier: Apache-2.0
"""`evb processes pause|resume|list`: keep processes from running for a while; nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from bridge.cli.fleet import slot_of, state_of
from bridge.cli.output import out, show_rows
from bridge.cli.spelling import warn_of_unknown
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.kafka.admin import lanes as lanes_of
from bridge.registry.changes import Changes
from bridge.registry.fields import ALL
from bridge.registry.objects import AnnouncedBreaker, Announcement, Pause
from bridge.registry.pausing import pause as pause_
from bridge.registry.pausing import resume as resume_
from bridge.registry.pausing import said
from bridge.registry.session import changing, reading

app = typer.Typer(no_args_is_help=True, help="Pause and resume processes, for one tenant or for all.")

Process = Annotated[str | None, typer.Argument(help="Name of the process; without it all of the tenant's.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's events.")]


@app.command()
def pause(
    process: Process = None,
    tenant: Tenant = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at a waiting execution.")] = "",
    data: Data = None,
) -> None:
    """Set a process's executions aside until it is resumed; holds in every worker within two seconds."""

    async def decide(changes: Changes) -> Pause:
        held = await pause_(changes, process, tenant, reason)
        if process is not None:
            warn_of_unknown(changes.registry, process)
        return held

    made = _decide(data, decide)
    out.print(f"✓ {said(made)}: paused", markup=False)


@app.command()
def resume(process: Process = None, tenant: Tenant = None, data: Data = None) -> None:
    """End a pause: what was set aside is handled now."""
    ended = _decide(data, lambda changes: resume_(changes, process, tenant))
    out.print(f"✓ {said(ended)}: running again", markup=False)


@app.command("list")
def list_(data: Data = None, as_json: AsJson = False) -> None:
    """
    List the processes that workers have announced, every pause that holds, and what rests because it failed everything.

    What rests, each worker says for itself within ten seconds; `?`: the process has its own lane, and no worker of that is live.
    """
    settings = operator_settings(data)
    with reading(settings) as registry:
        pauses, announced, workers = registry.pauses(), registry.announced(), registry.workers()
    live = [one for one in workers if state_of(one, time.time()) == "live"]
    unknown = set(lanes_of(settings)) - {one.lane for one in live}
    resting = [(said, one) for said in live for one in said.breakers]
    versions = {process.name: process.version for one in announced for process in one.processes}
    others = dict.fromkeys([*(one.process for one in pauses), *(one.process for _, one in resting)])
    named = [*sorted(versions.items()), *((name, "-") for name in others if name not in versions)]
    rows = [
        {
            "process": "all" if name == ALL else name,
            "version": version,
            "paused": "; ".join(_pause(one) for one in pauses if one.process == name) or "no",
            "resting": "; ".join(_rest(*one) for one in resting if one[1].process == name) or ("?" if name in unknown else "no"),
        }
        for name, version in named
    ]
    show_rows(rows, ("process", "version", "paused", "resting"), as_json=as_json, empty="No worker has announced a process.")


def _rest(worker: Announcement, one: AnnouncedBreaker) -> str:
    return f"in {slot_of(worker)} for {one.tenant}: {one.failures} attempts in a row failed, the last with {one.reason}"


def _pause(one: Pause) -> str:
    since = datetime.fromtimestamp(one.since_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return " ".join(["for all" if one.tenant == ALL else f"for {one.tenant}", f"since {since}", one.reason]).strip()


def _decide(data: Data, decide: Callable[[Changes], Awaitable[Pause]]) -> Pause:
    async def run() -> Pause:
        async with changing(operator_settings(data)) as changes:
            return await decide(changes)

    return asyncio.run(run())
