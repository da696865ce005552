# SPDX-License-Identifier: Apache-2.0
"""`evb events`: look events up over HTTP, with everything that became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bridge.cli.client import Api
from bridge.cli.output import out, show_json
from bridge.cli.target import AsJson, Data, HttpTarget, Key, Url, http_target
from bridge.domain.errors import InvalidRequest

app = typer.Typer(no_args_is_help=True, help="Look events up.")


@app.callback()
def _group() -> None:
    """Look events up."""


@app.command()
def get(
    event: Annotated[str, typer.Argument(help="The event key that its receipt named.")] = "",
    source: Annotated[str, typer.Option(help="The event's source, with --id.")] = "",
    event_id: Annotated[str, typer.Option("--id", help="The event's own id, with --source.")] = "",
    wait: Annotated[float, typer.Option(min=0, max=30, help="Seconds to wait for final statuses.")] = 0,
    url: Url = None,
    key: Key = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show one event: its attributes, its executions with attempts and results. Exit code 3: unknown."""
    if bool(event) == bool(source and event_id):
        raise InvalidRequest("Give the event key, or --source and --id together.")
    found = asyncio.run(_get(http_target(url, key, data), event, source, event_id, wait))
    if as_json:
        show_json(found)
    else:
        show_event(found)


async def _get(target: HttpTarget, event: str, source: str, event_id: str, wait_s: float) -> Mapping[str, Any]:
    async with Api(target) as api:
        if event:
            return (await api.get(f"/events/{event}", wait_s=wait_s)).body
        return (await api.get("/events", wait_s=wait_s, source=source, id=event_id)).body


def show_event(found: Mapping[str, Any]) -> None:
    """Print an event of `GET /events/{key}`, one line per execution."""
    out.print(f"{found['key']}  {found['attributes']['type']}  {found['status']}", markup=False)
    for execution in found["executions"]:
        out.print(execution_line(execution), markup=False)
    if not found["executions"]:
        out.print("  no process handled it", markup=False)


def execution_line(execution: Mapping[str, Any]) -> str:
    """Describe one execution and where its results lie."""
    line = f"→ {execution['process']:<12} {execution['status']:<11} attempts {execution['attempts']}"
    if execution.get("reason"):
        line += f"  {execution['reason']}"
    for result in execution.get("results", ()):
        line += f"\n    → {result['topic']} [p{result['partition']} @ {result['offset']}]  {result['type']}"
    return line
