# SPDX-License-Identifier: Apache-2.0
"""`evb dlq`: dead letters, listed, shown, replayed and purged. Reads and writes Kafka only."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bridge.cli import bulk
from bridge.cli.bulk import DryRun, EventType, Process, Rate, Tenant
from bridge.cli.letters import show_letter, show_letters
from bridge.cli.output import show_json
from bridge.cli.spans import moment_of
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.deadletters import document
from bridge.deadletters.index import Wanted, index
from bridge.deadletters.plan import NOT_FOUND, Plan, plan_purge, plan_replay
from bridge.deadletters.read import find
from bridge.deadletters.read import get as read_letter
from bridge.deadletters.run import purge as run_purge
from bridge.deadletters.run import replay as run_replay
from bridge.domain.errors import Misconfigured, NotFound
from bridge.domain.moments import iso

app = typer.Typer(no_args_is_help=True, help="List, show, replay and purge dead letters.")

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Only these letters.")]
Reason = Annotated[str, typer.Option(help="Only with this reason's code, e.g. timeout.")]
Since = Annotated[str, typer.Option(help="Only what died since then: 30m, 12h, 7d, or a time.")]
Until = Annotated[str, typer.Option(help="Only what died before then.")]
Again = Annotated[str, typer.Option(metavar="TIME", help="Replay once more what was replayed before this time, e.g. now.")]


@app.command("list")
def list_(
    tenant: Tenant = "",
    event_type: EventType = "",
    process: Process = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    page = find(operator_settings(data), _wanted(None, tenant, event_type, process, reason, since, until), limit)
    if as_json:
        show_json([document.summary(letter) for letter in page.letters])
    else:
        show_letters(page)


@app.command()
def get(
    key: Annotated[str, typer.Argument(help="Key of the letter, as the list shows it.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: why, every attempt, and the event as it came."""
    letter = read_letter(operator_settings(data), key)
    if as_json:
        show_json(document.whole(letter))
    else:
        show_letter(letter)


@app.command()
def replay(
    keys: Keys = None,
    tenant: Tenant = "",
    event_type: EventType = "",
    process: Process = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    again: Again = "",
    rate: Rate = bulk.RATE,
    dry_run: DryRun = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give each letter's event to its process again, as a new execution that names the old one. Never twice, but for --again."""
    now_ms, again_ms = moment_of("now"), moment_of(again) if again else 0
    settings, wanted = operator_settings(data), _wanted(keys, tenant, event_type, process, reason, since, until)
    plan = _planned(plan_replay(index(settings, wanted), wanted, again_ms))
    bulk.show_plan(plan.document(rate), "dead letter", rate, as_json=as_json)
    if dry_run or not plan.entries:
        return
    go_on = _go_on(wanted, now_ms, again_ms)
    bulk.carry_out(len(plan.entries), lambda tell: run_replay(settings, plan, rate, tell), as_json=as_json, again=go_on)


@app.command()
def purge(
    keys: Keys = None,
    tenant: Tenant = "",
    event_type: EventType = "",
    process: Process = "",
    reason: Reason = "",
    since: Since = "",
    until: Until = "",
    rate: Rate = bulk.RATE,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed without a terminal where no KEY is given.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good, after a look at the plan."""
    settings, wanted = operator_settings(data), _wanted(keys, tenant, event_type, process, reason, since, until)
    plan = _planned(plan_purge(index(settings, wanted), wanted))
    bulk.show_plan(plan.document(rate), "dead letter", rate, as_json=as_json)
    if dry_run or not plan.entries:
        return
    if not (keys or yes):
        if not sys.stdin.isatty():
            raise Misconfigured("Without a terminal to ask at, a bulk purge needs --yes.")
        typer.confirm("Purge them for good?", abort=True, err=True)
    bulk.carry_out(
        len(plan.entries), lambda tell: run_purge(settings, plan, rate, tell), as_json=as_json, again="The same command goes on."
    )


def _wanted(keys: list[str] | None, tenant: str, event_type: str, process: str, reason: str, since: str, until: str) -> Wanted:
    bulk.check_pattern(event_type)
    since_ms, until_ms = (moment_of(text) if text else 0 for text in (since, until))
    return Wanted(tenant, event_type, process, reason, since_ms, until_ms, frozenset(keys) if keys else None)


def _go_on(wanted: Wanted, now_ms: int, again_ms: int) -> str:
    """Say how to go on with a replay; what fails again in it leaves letters of its own, which the same filters let through."""
    same = f"with --again {iso(again_ms)} " if again_ms else ""
    bounded = wanted.keys is not None or wanted.until_ms
    new = "" if bounded else f" With --until {iso(now_ms)} it leaves out the new letters of what has failed again meanwhile."
    return f"The same command {same}goes on, and replays no letter twice.{new}"


def _planned(plan: Plan) -> Plan:
    """Raises: NotFound where a letter that was named is not there: a typing error must not look like success."""
    if missing := plan.skipped[NOT_FOUND]:
        raise NotFound(f"{missing} of the named dead letters are not there, so nothing was done. `evb dlq list` shows them.")
    return plan
