# SPDX-License-Identifier: Apache-2.0
"""`evb worker`: run a worker process."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.settings import load

app = typer.Typer()


@app.command()
def worker(
    lane: Annotated[str | None, typer.Option(help="Serve the own lane of this process, not the shared one.")] = None,
) -> None:
    """
    Run a worker: routes events to the installed processes until it gets SIGTERM or SIGINT.

    Settings come from the environment (EVB_*). Exit codes: 0 asked to stop, 2 misconfigured, 70 in doubt and 75 standing still:
    start it again after these, and after every other.
    """
    from processors.worker import serve

    serve(load() if lane is None else load(worker_lane=lane))
