# SPDX-License-Identifier: Apache-2.0
"""How commands show a bulk action: the plan first, progress while it runs, the counts at its end. Used by `dlq` and `replay`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.cli.output import err, out
from bridge.domain.errors import InvalidValue
from bridge.domain.patterns import fault
from bridge.kafka.paced import DEFAULT_RATE
from bridge.kafka.paced import Progress as Tell

Tenant = Annotated[str, typer.Option(help="Only this tenant's.")]
EventType = Annotated[str, typer.Option("--type", help="Only events whose type fits this pattern, e.g. 'order.*'.")]
Process = Annotated[str, typer.Option(help="Only of this process.")]
Rate = Annotated[float, typer.Option(min=0.1, max=100_000, help="How many per second.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan, and do nothing.")]
RATE = DEFAULT_RATE

SHOWN = 10
"""So many types are named one by one."""


def check_pattern(event_type: str) -> None:
    """Raises: InvalidValue where the value of --type is no pattern."""
    if event_type and (wrong := fault(event_type)):
        raise InvalidValue(f"--type: {wrong}.")


def plural(what: str) -> str:
    """Give the name of several things of a kind."""
    return f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"


def show_plan(plan: Mapping[str, Any], what: str, rate: float, *, as_json: bool) -> None:
    """Write a plan: how many, of what, the oldest, how long it takes, and what is left out."""
    if as_json:
        _line({"plan": plan})
        return
    count = plan["planned"]
    oldest = f", the oldest of {plan['oldest_at']}" if plan["oldest_at"] else ""
    out.print(
        f"{count} {what if count == 1 else plural(what)}{oldest}. At {rate:g}/s this takes about {plan['estimated_s']:g} s.",
        markup=False,
    )
    for name in ("types", "processes", "tenants"):
        counts = list(plan[name].items())
        more = f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
        if counts:
            out.print(f"  {name:<10} {', '.join(f'{key} {n}' for key, n in counts[:SHOWN])}{more}", markup=False)
    if plan["skipped"]:
        out.print(f"  left out   {', '.join(f'{key} {n}' for key, n in plan['skipped'].items())}", markup=False)


def carry_out(total: int, act: Callable[[Tell], int], *, as_json: bool, again: str) -> None:
    """Act with progress on stderr (with `as_json`: a line each on stdout), and end with the count; `again` says how to go on."""
    try:
        done = act(_json_progress(total)) if as_json else _with_bar(total, act)
    except KeyboardInterrupt:
        err.print(f"Stopped. {again}", markup=False)
        raise
    if as_json:
        _line({"result": {"planned": total, "done": done, "left": total - done}})
    else:
        out.print(f"✓ {done} of {total} done", markup=False)
        if done < total:
            out.print(f"  {total - done} were not there any more, or were changed meanwhile. {again}", markup=False)


def _with_bar(total: int, act: Callable[[Tell], int]) -> int:
    if not sys.stderr.isatty():
        return act(_lines(total))
    with Progress(BarColumn(), MofNCompleteColumn(), TextColumn("•"), TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task("", total=total)
        return act(lambda done: bar.update(task, completed=done))


def _lines(total: int) -> Tell:
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if done - told >= max(1, total // 10):
            told = done
            err.print(f"{done} of {total}", markup=False)

    return tell


def _json_progress(total: int) -> Tell:
    return lambda done: _line({"progress": {"done": done, "planned": total}})


def _line(document: Mapping[str, Any]) -> None:
    out.file.write(orjson.dumps(document).decode() + "\n")
    out.file.flush()
