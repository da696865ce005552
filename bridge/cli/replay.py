# SPDX-License-Identifier: Apache-2.0
"""`evb replay`: past events once more, for the processes they concern or as copies in another topic. Needs Kafka only."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from bridge.cli import bulk
from bridge.cli.bulk import DryRun, EventType, Process, Rate, Tenant
from bridge.cli.output import out
from bridge.cli.spans import moment_of
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.errors import InvalidValue, NotFound
from bridge.domain.moments import iso
from bridge.registry.session import reading
from bridge.registry.view import View
from bridge.replay.asked import Asked, Mode
from bridge.replay.run import plan as make_plan
from bridge.replay.run import run
from bridge.view.expecting import Expectation

app = typer.Typer()


@app.command("replay")
def replay(
    since: Annotated[str, typer.Option(help="Events that Kafka took since then: 30m, 12h, 7d, or a time.")],
    until: Annotated[str, typer.Option(help="Only events that it took before then.")] = "now",
    event_type: EventType = "",
    tenant: Tenant = "",
    process: Process = "",
    mode: Annotated[Mode | None, typer.Option(help="What is begun again; default: failed-only, with --to: force.")] = None,
    to: Annotated[str, typer.Option(metavar="TOPIC", help="Write copies of the events to this topic instead.")] = "",
    plan: Annotated[str, typer.Option(metavar="NAME", help="Name of the plan; it never begins anything twice.")] = "",
    rate: Rate = bulk.RATE,
    dry_run: DryRun = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give past events to their processes again, or copies of them to a topic; live events keep priority."""
    bulk.check_pattern(event_type)
    mode = mode or (Mode.FORCE if to else Mode.FAILED_ONLY)
    asked = Asked(mode, moment_of(since), moment_of(until), event_type, tenant, process, to)
    if asked.since_ms >= asked.until_ms:
        raise InvalidValue("--since must lie before --until.")
    settings = operator_settings(data)
    with reading(settings) as registry:
        if not to or process or mode is not Mode.FORCE:
            _check_processes(registry, process)
        found = make_plan(settings, asked, Expectation(registry), plan)
        what = "copy" if to else "execution"
        bulk.show_plan(found.document(rate), what, rate, as_json=as_json)
        command = _command(asked, found.name)
        if not as_json:
            out.print(f"  plan       {found.name}: {command}", markup=False)
        if dry_run or not found.count:
            return
        go_on = f"This goes on, and repeats nothing: {command}"
        bulk.carry_out(found.count, lambda tell: run(settings, found, rate, tell), as_json=as_json, again=go_on)


def _check_processes(registry: View, process: str) -> None:
    """Raises: NotFound where no worker has said that it runs any process, or that one."""
    known = sorted({one.name for worker in registry.announced() for one in worker.processes})
    if not known:
        raise NotFound("No worker has said yet which processes it runs: start one.")
    if process and process not in known:
        raise NotFound(f"No worker runs a process {process}. There are: {', '.join(known)}.")


def _command(asked: Asked, name: str) -> str:
    """Give the command that carries this plan out, or goes on with it."""
    options = [("since", iso(asked.since_ms)), ("until", iso(asked.until_ms)), ("mode", asked.mode.value), ("plan", name)]
    options += [("type", asked.type), ("tenant", asked.tenant), ("process", asked.process), ("to", asked.to)]
    return " ".join(["evb replay", *(f"--{option} {shlex.quote(value)}" for option, value in options if value)])
