# SPDX-License-Identifier: Apache-2.0
"""`evb doctor`: looks at the configuration and everything around it, one line each, with the cure for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis
import typer
from rich.markup import escape

from bridge.cli import checks
from bridge.cli.checks import Finding
from bridge.cli.output import FAILED, out, show_json
from bridge.cli.target import AsJson, Data, Url, find_url, operator_settings
from bridge.domain.errors import BridgeError, Misconfigured
from bridge.hosting.find import Plugins
from bridge.settings import Settings

app = typer.Typer()

MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}
NO_KAFKA = Finding(None, "not looked at, since Kafka does not answer")
CURES = {
    "redis": "Check EVB_REDIS__URL (user, password) and EVB_REDIS__SSL_CA_FILE, and that the server runs.",
    "topics": "Check EVB_KAFKA__* and that its user may describe topics.",
    "secrets": "Run `evb topics ensure`, and check that the user may read the registry's topic.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A finding and what it is about."""

    about: str
    finding: Finding


@app.command()
def doctor(url: Url = None, data: Data = None, as_json: AsJson = False) -> None:
    """Check configuration and surroundings, and say how to mend what is wrong; the exit code is then 1."""
    lines = _report(url, data)
    wrong = any(line.finding.ok is not True for line in lines)
    if as_json:
        show_json([{"check": x.about, "ok": x.finding.ok, "found": x.finding.found, "cure": x.finding.cure} for x in lines])
    else:
        for line in lines:
            _print(line)
    if wrong:
        raise typer.Exit(FAILED)


def _report(url: str | None, data: Data) -> list[Line]:
    plugins, found = checks.plugins()
    lines = [Line("plugins", finding) for finding in found]
    try:
        settings = operator_settings(data)
    except Misconfigured as err:
        return [Line("settings", Finding(False, fault, "See docs/reference/settings.md.")) for fault in err.faults] + lines
    lines.insert(0, Line("settings", Finding(True, f"topics under {settings.topic_prefix!r}")))
    kafka = checks.brokers(settings)
    lines.append(Line("kafka", kafka))
    if kafka.ok is False:
        lines += [Line(about, NO_KAFKA) for about in ("topics", "secrets", "worker")]
    else:
        lines += _guarded("topics", lambda: checks.topics(settings, plugins))
        lines += _of_registry(settings, plugins)
    lines += _of_redis(settings)
    if url := find_url(url, data):
        lines += _guarded("web", lambda: [checks.web(url)])
    return lines


def _of_registry(settings: Settings, plugins: Plugins) -> list[Line]:
    try:
        with checks.followed(settings) as registry:
            return _guarded("secrets", lambda: checks.secrets(settings, registry)) + [
                Line("worker", finding) for finding in checks.workers(registry, plugins)
            ]
    except (BridgeError, TimeoutError) as err:
        return [Line("secrets", Finding(False, str(err), CURES["secrets"])), Line("worker", Finding(None, "not looked at"))]


def _of_redis(settings: Settings) -> list[Line]:
    lines = _guarded("redis", lambda: [checks.server(settings)])
    if lines[0].finding.ok is False:
        return lines
    lines += _guarded("memory", lambda: [checks.memory(settings)])
    return lines + _guarded("view", lambda: [checks.view(settings)]) + _guarded("clock", lambda: [checks.clock(settings)])


def _guarded(about: str, check: Callable[[], Sequence[Finding]]) -> list[Line]:
    try:
        return [Line(about, finding) for finding in check()]
    except (BridgeError, TimeoutError, redis.RedisError, OSError) as err:
        return [Line(about, Finding(False, str(err) or type(err).__name__, CURES.get(about, "Run `evb doctor` again.")))]


def _print(line: Line) -> None:
    finding = line.finding
    out.print(f"{MARKS[finding.ok]} [bold]{line.about:<9}[/bold] {escape(finding.found)}")
    if finding.cure:
        out.print(f"            [dim]{escape(finding.cure)}[/dim]")
