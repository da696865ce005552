# SPDX-License-Identifier: Apache-2.0
"""`evb tail`: events and what becomes of them, one line each, as Kafka gets them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
import orjson
import typer
from confluent_kafka import Message
from rich.markup import escape

from bridge import executions
from bridge.cli.output import err, out
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.cloudevents import kafka
from bridge.domain.errors import InvalidEvent
from bridge.domain.execution import Execution, Status
from bridge.kafka.live import Live
from bridge.summaries import summarise
from bridge.topics import EVENTS, EXECUTIONS

app = typer.Typer()

MARKS = {Status.COMPLETED: "[green]✓[/green]", Status.FAILED: "[red]✗[/red]", Status.SKIPPED: "[dim]–[/dim]"}

Line = dict[str, Any]


@app.command()
def tail(
    event_type: Annotated[str, typer.Option("--type", help="Only events whose type fits this pattern, e.g. 'order.*'.")] = "*",
    status: Annotated[Status | None, typer.Option(help="Only executions with this status, and no events.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="End after this many lines; 0: go on until Ctrl-C.")] = 0,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Follow events and their executions as they happen."""
    settings = operator_settings(data)
    readers = {EVENTS.name(settings): _event_line, EXECUTIONS.name(settings): _execution_line}
    shown = 0
    with Live(settings, list(readers)) as live:
        err.print("Following events and executions; Ctrl-C ends it.", style="dim")
        for message in live.records():
            if message is None or not (line := _line(message, readers)):
                continue
            if not _wanted(line, event_type, status, tenant):
                continue
            _print(line, as_json=as_json)
            shown += 1
            if shown == limit:
                return


def _line(message: Message, readers: Mapping[str, Callable[[Message], Line]]) -> Line | None:
    topic, value = message.topic(), message.value()
    if topic is None or value is None:  # a tombstone: something that was kept is let go
        return None
    try:
        return readers[topic](message)
    except (InvalidEvent, msgspec.MsgspecError, KeyError, ValueError) as error:
        return {"kind": "unreadable", "topic": topic, "partition": message.partition(), "offset": message.offset()} | {
            "time_ms": message.timestamp()[1],
            "reason": str(error),
        }


def _event_line(message: Message) -> Line:
    event = kafka.event_of(message.headers(), message.value())  # type: ignore[arg-type]  # librdkafka's header values are bytes
    about = summarise(event, message.timestamp()[1])
    return {"kind": "event", "time_ms": about.accepted_ms} | {
        name: getattr(about, name) for name in ("key", "tenant", "type", "source", "id", "correlation_id", "size")
    }


def _execution_line(message: Message) -> Line:
    execution = executions.decode(message.value() or b"")
    return {
        "kind": "execution",
        "time_ms": message.timestamp()[1],
        "key": execution.event_key,
        "tenant": execution.tenant,
        "type": execution.event_type,
        "correlation_id": execution.correlation_id,
        "execution_id": execution.execution_id,
        "process": execution.process,
        "status": execution.status,
        "attempt": execution.attempt,
        "duration_ms": _duration_ms(execution),
        "reason": execution.reason,
        "results": [msgspec.to_builtins(result) for result in execution.results],
    }


def _duration_ms(execution: Execution) -> int | None:
    return None if execution.finished_ms is None else execution.finished_ms - execution.started_ms


def _wanted(line: Line, event_type: str, status: Status | None, tenant: str | None) -> bool:
    if line["kind"] == "unreadable":
        return True  # filters must not hide what nobody could read
    return (
        fnmatchcase(line["type"], event_type)
        and (tenant is None or line["tenant"] == tenant)
        and status in (None, line.get("status"))
    )


def _print(line: Line, *, as_json: bool) -> None:
    if as_json:
        out.file.write(orjson.dumps(line).decode() + "\n")
        out.file.flush()
        return
    clock = time.strftime("%H:%M:%S", time.localtime(line["time_ms"] / 1000))
    if line["kind"] == "unreadable":
        where = f"{line['topic']} [p{line['partition']} @ {line['offset']}]"
        out.print(f"{clock}  [red]?[/red] {escape(where)} cannot be read: {escape(line['reason'])}")
        return
    head = escape(f"{clock}  {line['key'][:8]}…  {line['tenant']}  {line['type']}")
    if line["kind"] == "event":
        out.print(f"{head}  [dim]· {line['size']} bytes from {escape(line['source'])}[/dim]")
    else:
        out.print(f"{head}  {_outcome(line)}")


def _outcome(line: Line) -> str:
    mark = MARKS.get(line["status"], "[yellow]…[/yellow]")
    took = "" if line["duration_ms"] is None else f" {line['duration_ms']} ms"
    results = f" → {len(line['results'])} result{'s' * (len(line['results']) != 1)}" if line["results"] else ""
    reason = f"  {line['reason']}" if line["reason"] else ""
    return f"{mark} {escape(line['process'] + took + results + reason)}"
