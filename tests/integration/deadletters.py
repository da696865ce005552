# SPDX-License-Identifier: Apache-2.0
"""A worker whose events die, for the tests of dead letters and of replays: one per test file, with a tenant per test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import orjson
import pytest
import structlog
from confluent_kafka import Message
from typer import Abort, TyperException

from bridge import topics
from bridge.cli.main import app
from bridge.cli.output import USAGE, exit_code_of, explain, keep_logs_quiet
from bridge.deadletters.index import Wanted, index
from bridge.domain import ids
from bridge.domain.errors import BridgeError
from bridge.domain.event import Event
from bridge.domain.execution import Execution
from bridge.executions import decode
from bridge.settings import Settings
from tests.chaos.topics import records
from tests.conftest import as_environ
from tests.integration.workers import Sender, Worker, event, until


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class House:
    """A running worker and its settings."""

    settings: Settings
    worker: Worker

    def send(self, *events: Event) -> None:
        """Let the worker handle events to their end."""
        sender = Sender(self.settings)
        sender.send(*events)
        sender.flush()
        self.worker.settle(self.settings)

    def dead(self, count: int = 1, type_: str = "second.time", tenant: str = "") -> list[Event]:
        """Let events die, of a tenant of their own where none is given."""
        tenant = tenant or f"t-{uuid.uuid4().hex[:8]}"
        events = [event(type_, b'{"n": %d}' % n, tenant) for n in range(count)]
        self.send(*events)
        until(lambda: len(index(self.settings, Wanted(tenant=tenant))) >= count, "the letters are there")
        return events

    def executions(self, tenant: str) -> dict[str, list[Execution]]:
        """Every record of a tenant's executions, by id."""
        found: dict[str, list[Execution]] = {}
        for record in self.records(topics.EXECUTIONS):
            execution = decode(record.value() or b"")
            if execution.tenant == tenant:
                found.setdefault(execution.execution_id, []).append(execution)
        return found

    def records(self, topic: topics.Topic) -> list[Message]:
        """Every record of a topic."""
        return list(records(self.settings.kafka.bootstrap_servers, topic.name(self.settings)))

    def redelivered(self, tenant: str) -> list[Message]:
        """A tenant's redeliveries."""
        return [one for one in self.records(topics.REDELIVERIES) if header(one, "ce_tenantid") == tenant]

    def evb(self, *arguments: str) -> Done:
        """Run a command in this process, which spares the second that a program takes to start."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            for name, value in as_environ(self.settings).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", StringIO())
            logging = structlog.get_config()
            keep_logs_quiet()
            try:
                code = app(list(arguments), standalone_mode=False) or 0
            except (TyperException, Abort):
                code = USAGE
            except BridgeError as error:
                explain(error)
                code = exit_code_of(error)
            finally:
                structlog.configure(**logging)
        return Done(code, out.getvalue(), err.getvalue())

    def environ(self) -> dict[str, str]:
        """The variables of an operator."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("EVB_")}
        return plain | as_environ(self.settings)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bridge.cli", *arguments]


def ended_after(house: House, done: int, number: signal.Signals, *arguments: str) -> tuple[int, int, str]:
    """Run a bulk command, end it once `done` are done, and give how many it had done then, its exit code and its stderr."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command(*arguments, "--json"), env=house.environ(), text=True, **pipes)
    assert process.stdout is not None
    for line in process.stdout:
        said = orjson.loads(line)
        assert "result" not in said, "it was done before it could be ended"
        if (count := said.get("progress", {}).get("done", 0)) >= done:
            process.send_signal(number)
            rest, err = process.communicate(timeout=30)
            assert '"result"' not in rest, f"it went on to its end after {number.name}: {rest[-500:]}"
            return count, process.returncode, err
    raise AssertionError(f"it ended early: {process.communicate()[1]}")


def header(message: Message, name: str) -> str:
    """A header as text, or an empty one."""
    given: Any = message.headers() or ()
    return (dict(given).get(name) or b"").decode()


def said(done: Done) -> list[dict[str, Any]]:
    """The lines of a bulk command's `--json`."""
    assert done.returncode == 0, done.stderr
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def execution_of(one: Event, process: str = "second") -> str:
    return ids.execution_id(one.key, process)


def replays_of(house: House, tenant: str) -> dict[str, list[str]]:
    """Which executions replayed which: old id -> the new ones that have ended, by their records in Kafka."""
    found: dict[str, list[str]] = {}
    for execution_id, states in house.executions(tenant).items():
        if states[-1].replayed_from and states[-1].status.final:
            found.setdefault(states[-1].replayed_from, []).append(execution_id)
    return found


def wait_replayed(house: House, tenant: str, count: int) -> dict[str, list[str]]:
    """Wait until so many replays have ended."""
    until(lambda: sum(map(len, replays_of(house, tenant).values())) >= count, f"{count} replays have ended")
    house.worker.settle(house.settings)
    return replays_of(house, tenant)
