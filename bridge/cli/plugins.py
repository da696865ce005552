# SPDX-License-Identifier: Apache-2.0
"""`evb plugins list|info`: what is installed in this environment. Needs no stack: it asks Python, not Kafka."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from bridge.cli.output import out, show_json, show_rows
from bridge.hosting.find import Installed, find_processes

app = typer.Typer(no_args_is_help=True)

AS_JSON = typer.Option(False, "--json", help="Machine-readable output.")


@app.command("list")
def list_(as_json: bool = AS_JSON) -> None:
    """List the processes that the installed plugins contribute. Faulty plugins are named, and the exit code is 2."""
    rows = [_row(one) for one in find_processes().installed]
    columns = ["process", "version", "events", "distribution"]
    shown = rows if as_json else [row | {"events": ", ".join(row["events"])} for row in rows]
    show_rows(shown, columns, as_json=as_json, empty="No plugin is installed: pip install -e examples/github-plugin")


@app.command()
def info(name: str = typer.Argument(help="Name of the process."), as_json: bool = AS_JSON) -> None:
    """Describe one process: where it comes from, what it handles and what can be set per tenant."""
    one = find_processes().named(name)
    process = one.process
    about = _row(one) | {
        "entry_point": one.origin.entry_point,
        "description": (type(process).__doc__ or "").strip(),
        "timeout_s": process.timeout_s,
        "isolation": process.isolation,
        "default_enabled": process.default_enabled,
        "config": one.config_schema,
    }
    if as_json:
        show_json(about)
        return
    out.print(f"[bold]{escape(name)}[/bold] {escape(process.version)}  {escape(about['description'])}")
    out.print(f"  from      {one.origin}", markup=False)
    out.print(f"  events    {', '.join(one.patterns)}", markup=False)
    apart = f", in a child process with {process.memory_mb} MB" if process.isolation == "process" else ""
    if not process.default_enabled:
        out.print(f"  enabled   for the tenants of `evb tenants enable TENANT {name}`", markup=False)
    out.print(f"  deadline  {process.timeout_s:g} s{apart}", markup=False)
    out.print(f"  options   {_options(one.config_schema) or 'none'}", markup=False)


def _row(one: Installed) -> dict[str, Any]:
    return {
        "process": one.name,
        "version": one.process.version,
        "events": list(one.patterns),
        "distribution": f"{one.origin.distribution} {one.origin.version}",
    }


def _options(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return "\n            ".join(
        f"{name}: {about.get('type', 'see --json')}"
        + (" (required)" if name in required else f" = {about.get('default')!r}")
        + (f"  {about['description']}" if "description" in about else "")
        for name, about in schema.get("properties", {}).items()
    )
