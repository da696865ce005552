# SPDX-License-Identifier: Apache-2.0
"""`evb events get`: look one event up over HTTP, by its key or by its producer's source and id."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bridge.cli.client import Api, Reply
from bridge.cli.outcomes import exit_code, show_event
from bridge.cli.output import show_json
from bridge.cli.target import AsJson, Data, HttpTarget, Key, Url, http_target
from bridge.domain.errors import Misconfigured

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Look events up."""


@app.command()
def get(
    key: Annotated[str | None, typer.Argument(help="Event key, as the receipt gave it.")] = None,
    source: Annotated[str | None, typer.Option(help="The event's source, together with --id.")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="The id that its producer gave it.")] = None,
    wait: Annotated[float, typer.Option(min=0, max=30, help="Wait this many seconds for its end; then 5 if it has none.")] = 0,
    url: Url = None,
    api_key: Key = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show an event, its executions and where its results lie."""
    if (key is None) == (source is None or event_id is None):
        raise Misconfigured("Which event? Give its KEY, or --source and --id.")
    target = http_target(url, api_key, data)
    path = "/events" if key is None else f"/events/{quote(key, safe='')}"
    query = {"source": source, "id": event_id} if source and event_id else {}
    document = asyncio.run(_get(target, path, wait, query)).body
    if as_json:
        show_json(document)
    else:
        show_event(document)
    if wait:
        raise typer.Exit(exit_code(document))


async def _get(target: HttpTarget, path: str, wait_s: float, query: dict[str, Any]) -> Reply:
    async with Api(target) as api:
        return await api.get(path, wait_s=wait_s, **query)
