# SPDX-License-Identifier: Apache-2.0
"""`evb version`."""

from __future__ import annotations

import platform

import typer

from bridge import __version__
from bridge.cli.output import out, show_json

app = typer.Typer()


@app.command()
def version(as_json: bool = typer.Option(False, "--json", help="Machine-readable output.")) -> None:
    """Show the version of Event Bridge and of Python."""
    if as_json:
        show_json({"event_bridge": __version__, "python": platform.python_version()})
    else:
        out.print(f"event-bridge {__version__} (Python {platform.python_version()})", markup=False)
