# SPDX-License-Identifier: Apache-2.0
"""`evb web`."""

from __future__ import annotations

import os

import typer

from bridge.settings import load

app = typer.Typer()


@app.command()
def web(
    host: str | None = typer.Option(None, help="Address to listen on; default: EVB_HOST."),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port to listen on, 0 for a free one; default: EVB_PORT."),
) -> None:
    """Run the web server: the doors, look-ups, health and metrics. Everything else is set by EVB_* variables."""
    for name, value in (("EVB_HOST", host), ("EVB_PORT", port)):
        if value is not None:
            os.environ[name] = str(value)
    settings = load()
    from web.launch import launch

    launch(settings)
