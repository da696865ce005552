# SPDX-License-Identifier: Apache-2.0
"""`evb trigger`: send test events through a real door and follow what becomes of them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from bridge.cli import sending
from bridge.cli.client import Api
from bridge.cli.outcomes import exit_code, show_executions
from bridge.cli.output import FAILED, err, exit_code_of, out, show_json
from bridge.cli.sending import Post, Sent
from bridge.cli.target import AsJson, HttpTarget, Key, Url, find_url, http_target, signing_secret
from bridge.domain.errors import Misconfigured

app = typer.Typer()

SHOWN = 20
"""More events than this are summed up instead of shown one by one."""


class Scheme(StrEnum):
    """How the request is signed."""

    NONE = "none"
    GITHUB = "github"


@app.command()
def trigger(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Event type, e.g. order.created or github.push.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "--payload",
            help="The event's data: JSON, or any data from @FILE or - (stdin). A directory means the stack, as elsewhere.",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="The event's source; with --scheme github the name of the sender.")] = None,
    scheme: Annotated[
        Scheme, typer.Option(help="github: a webhook signed as GitHub does; its data has an example.")
    ] = Scheme.NONE,
    secret: Annotated[
        str | None, typer.Option(envvar="EVB_SIGNING_SECRET", help="Signing secret; default: the demo tenant's.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many events to send.")] = 1,
    rate: Annotated[float, typer.Option(min=0, help="How many a second; 0: as fast as they are answered.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow each event to its end.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the end.")] = 30,
    stack: Annotated[Path | None, typer.Option(envvar="EVB_DATA", hidden=True)] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send a test event and follow what becomes of it."""
    directory, body = _data(data or [], stack)
    if scheme is Scheme.GITHUB:
        signed = signing_secret(secret, directory)
        target = http_target(url, api_key, directory) if wait else HttpTarget(_url(url, directory), "")
        payload = sending.github_example(event_type) if body is None else body
        make = partial(sending.github, event_type, source or "", payload, signed)
    else:
        target = http_target(url, api_key, directory)
        make = partial(sending.native, event_type, source or "/evb/trigger", sending.GREETING if body is None else body)
    quiet = as_json or count > SHOWN
    report = _silent if quiet else partial(_show, event_type)
    sent = asyncio.run(_send(target, make, count, rate, timeout if wait else 0, report))
    if as_json:
        show_json(_document(event_type, sent))
    elif quiet:
        _sum_up(sent)
    raise typer.Exit(_code(sent))


async def _send(
    target: HttpTarget, make: Callable[[], Post], count: int, rate: float, wait_s: float, report: Callable[[Sent], None]
) -> list[Sent]:
    async with Api(target) as api:
        return await sending.send_all(api, make, count=count, rate=rate, wait_s=wait_s, report=report)


def _data(given: Sequence[str], stack: Path | None) -> tuple[Path | None, bytes | None]:
    """Tell the stack's directory from the event's data: JSON, `@file` and `-` are never the name of a directory."""
    directories = [text for text in given if text not in ("", "-") and text[0] not in '@{["' and Path(text).is_dir()]
    bodies = [text for text in given if text not in directories]
    if len(directories) > 1 or len(bodies) > 1:
        raise Misconfigured("Give --data once for the event and at most once more for the stack's directory.")
    return (Path(directories[0]) if directories else stack), (_body(bodies[0]) if bodies else None)


def _body(text: str) -> bytes:
    """Read the event's data; a file and stdin may hold anything. Raises: Misconfigured where the text itself is no JSON."""
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        return _read(Path(text[1:]))
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        raise Misconfigured(f"--data is neither JSON ({wrong}) nor a directory; other data are taken from @FILE or -.") from wrong
    return text.encode()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise Misconfigured(f"--data @{file} cannot be read: {wrong.strerror}.") from wrong


def _url(url: str | None, directory: Path | None) -> str:
    if found := find_url(url, directory):
        return found
    raise Misconfigured("Which server? Give --url (or EVB_URL), or --data DIR (or EVB_DATA) of a running `evb dev`.")


def _silent(sent: Sent) -> None:
    """Say nothing: the events are summed up afterwards."""


def _show(event_type: str, sent: Sent) -> None:
    if sent.status:
        out.print(f"[green]{sent.status} accepted[/green]   {sent.key}  {escape(event_type)}   {sent.ms:.0f} ms")
    if sent.error:
        err.print(f"✗ {sent.error}", markup=False, style="red")
    elif sent.outcome:
        show_executions(sent.outcome)
        ended = "Done" if sent.outcome["settled"] else "Not ended (`evb doctor` looks for the worker)"
        out.print(f"{ended} in {sent.took_ms:.0f} ms.", markup=False)


def _sum_up(sent: Sequence[Sent]) -> None:
    accepted = sorted(one.ms for one in sent if one.status)
    out.print(f"{len(accepted)} of {len(sent)} accepted", markup=False)
    if accepted:
        p50, p99 = (accepted[min(len(accepted) - 1, int(len(accepted) * share))] for share in (0.5, 0.99))
        out.print(f"  answered in  p50 {p50:.1f} ms  p99 {p99:.1f} ms", markup=False)
    ended = Counter(one.outcome["status"] for one in sent if one.outcome)
    if ended:
        out.print("  ended        " + ", ".join(f"{count} {status}" for status, count in ended.most_common()), markup=False)
    for said, count in Counter(str(one.error) for one in sent if one.error).most_common(5):
        err.print(f"✗ {count} × {said}", markup=False, style="red")


def _document(event_type: str, sent: Sequence[Sent]) -> dict[str, Any]:
    return {
        "sent": len(sent),
        "accepted": sum(1 for one in sent if one.status),
        "events": [
            {
                "status": one.status or None,
                "key": one.key or None,
                "type": event_type,
                "ms": round(one.ms, 3),
                "outcome": one.outcome,
                "error": str(one.error) if one.error else None,
            }
            for one in sent
        ],
    }


def _code(sent: Sequence[Sent]) -> int:
    codes = {exit_code_of(one.error) if one.error else exit_code(one.outcome) if one.outcome else 0 for one in sent} - {0}
    return codes.pop() if len(codes) == 1 else FAILED if codes else 0
