# SPDX-License-Identifier: Apache-2.0
"""`evb dev`: the whole product in one terminal, until Ctrl-C. The supervisor does the work; this talks to the person."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.ending import Ending
from bridge.cli.output import out
from bridge.cli.target import DEFAULT_DATA
from bridge.stack.found import DemoTenant, StackInfo
from bridge.stack.supervisor import Supervisor

app = typer.Typer()


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the web server; 0: a free one.")] = 8080,
    data: Annotated[
        Path, typer.Option(envvar="EVB_DATA", file_okay=False, help="Where everything is kept; it survives a restart.")
    ] = DEFAULT_DATA,
    reset: Annotated[bool, typer.Option("--reset", help="Begin with nothing: empty the data directory first.")] = False,
    ready_file: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write URL, addresses, process ids and credentials here (JSON) when ready."),
    ] = None,
) -> None:
    """Run Kafka, Valkey, a worker, the web server and a demo tenant here, until Ctrl-C. What ends is started again."""
    began, ending = time.monotonic(), Ending()
    ending.listen()
    supervisor = Supervisor(data, port, ready_file=ready_file, reset=reset, say=_say)
    try:
        info = supervisor.start()
        ending.starting = False
        _welcome(info, data, time.monotonic() - began)
        supervisor.keep(ending.wait)
        _say("Ending…")
        supervisor.stop()
    finally:
        supervisor.close()


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it, or its file has no room: no reason to end what runs
        out.print(text, markup=False)


def _welcome(info: StackInfo, data: Path, seconds: float) -> None:
    _say(f"Event Bridge is ready after {seconds:.1f} s.\n")
    for tenant in info.tenants:
        _say(f"  URL             {info.url}")
        _say(f"  API key         {tenant.api_key}")
        _say(f"  Signing secret  {tenant.signing_secret}")
        _say(f"  Kafka, Redis    {info.kafka}, {info.redis}")
        _say(f"  Logs            {data / 'log'}")
        _say(f"  Ways out        public addresses, and {info.settings().egress_allowed_networks or 'no others'}\n")
        _say(f"Try it:\n\n  {_curl(info.url, tenant)}\n")
    _say(f"Ctrl-C ends it; the data stays in {data}.")


def _curl(url: str, tenant: DemoTenant) -> str:
    body = '{"event_source": "curl", "event_type": "user.created", "payload": {"id": "42"}}'
    return f"curl -sS {url}/fx/events -H 'X-API-KEY: {tenant.api_key}' -H 'Content-Type: application/json' -d '{body}'"
