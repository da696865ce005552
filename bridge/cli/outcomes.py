# SPDX-License-Identifier: Apache-2.0
"""How `evb trigger` and `evb events` show an event and what became of it: the native door's look-up, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.markup import escape

from bridge.cli.output import FAILED, TIMED_OUT, out
from bridge.domain.execution import Status

MARKS = {
    Status.COMPLETED: "[green]completed[/green]",
    Status.FAILED: "[red]failed[/red]",
    Status.SKIPPED: "[dim]skipped[/dim]",
}

Document = Mapping[str, Any]


def show_event(document: Document) -> None:
    """Write an event's identity, where it lies, and one line per execution."""
    about = document["attributes"]
    out.print(f"[bold]{escape(about['type'])}[/bold]  {document['key']}  {document['status']}")
    out.print(f"  from      {about['source']}  id {about['id']}", markup=False)
    out.print(
        f"  accepted  {document['accepted_at']}  {document['size']} bytes  correlation {document['correlationid']}", markup=False
    )
    if place := document["position"]:
        out.print(f"  stored    {place['topic']} [p{place['partition']} @ {place['offset']}]", markup=False)
    show_executions(document)
    for one in document["transactions"]:
        until = f"  until {one['until']}" if one["until"] else ""
        out.print(f"→ transaction {one['tx_key']}  {one['state']}  since {one['changed_at']}{until}", markup=False)


def show_executions(document: Document) -> None:
    """Write one line per execution of an event, and its results' places."""
    for execution in document["executions"]:
        mark = MARKS.get(execution["status"], f"[yellow]{execution['status']}[/yellow]")
        line = f"→ {escape(execution['process']):<12} {mark}"
        if execution["attempts"]:
            line += f"  attempt {execution['attempts']}"
        if (took := duration_ms(execution)) is not None:
            line += f"  {took} ms"
        if execution["reason"]:
            line += f"  {escape(execution['reason'])}"
        if execution["replayed_from"]:
            line += f"  replays {execution['replayed_from'][:8]}…"
        if execution["due_at"]:
            line += f"  next attempt at {execution['due_at']}"
        for result in execution["results"]:
            line += escape(f"  → {result['topic']} [p{result['partition']} @ {result['offset']}]")
        out.print(line)
    if document["settled"] and not document["executions"]:
        out.print("→ no process wants this type: `evb plugins list` shows what the installed ones handle.", markup=False)


def duration_ms(execution: Document) -> int | None:
    """Give how long the last attempt ran, or None while it has not ended."""
    if not execution["started_at"] or not execution["finished_at"]:
        return None
    began, ended = (datetime.fromisoformat(execution[name]) for name in ("started_at", "finished_at"))
    return round((ended - began).total_seconds() * 1000)


def exit_code(document: Document) -> int:
    """Give the exit code that a followed event ends a command with: 0, failed, or timed out where it has not ended."""
    if not document["settled"]:
        return TIMED_OUT
    return FAILED if document["status"] == Status.FAILED else 0
