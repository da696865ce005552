# SPDX-License-Identifier: Apache-2.0
"""`evb rebuild`: make the live view in Redis anew from Kafka, while everything else goes on."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bridge.cli.output import err, out, show_json
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.errors import ViewUnavailable
from bridge.registry.registry import Registry
from bridge.settings import Settings
from bridge.view.expecting import Expectation
from bridge.view.rebuild import Report, rebuild

app = typer.Typer()


@app.command("rebuild")
def rebuild_(data: Data = None, as_json: AsJson = False) -> None:
    """Rebuild the live view in Redis from Kafka. Look-ups answer 503 until it is done; everything else goes on."""
    report = _with_progress(operator_settings(data))
    if report is None:
        raise ViewUnavailable("Another process is rebuilding the view right now; it will be whole when that is done.")
    if as_json:
        show_json(asdict(report))
    else:
        out.print(
            f"✓ {report.events} events and {report.executions} execution records in {report.seconds:.1f} s"
            + (f", {report.unreadable} unreadable ones passed over" if report.unreadable else ""),
            markup=False,
        )


def _with_progress(settings: Settings) -> Report | None:
    registry = Registry(settings)
    registry.start()
    columns = (TextColumn("reading Kafka"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        registry.wait_current(10)  # without it, events that wait for the router are shown without what is expected of them
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("", total=None)
            return rebuild(
                settings, Expectation(registry), progress=lambda done, total: bar.update(task, completed=done, total=total)
            )
    finally:
        registry.close()
