# SPDX-License-Identifier: Apache-2.0
"""Messages, workflows that they fit, and attempts at them, for tests of journeys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bridge.domain.execution import Status
from bridge.domain.redelivery import Journey, Redelivery
from bridge.registry.workflow import WorkflowIndex, WorkflowVersion
from bridge.sdk import Event
from bridge.sdk.testing import event
from bridge.workflows.reading import check
from bridge.workflows.signals import Start
from bridge.workflows.signals import decode as signal_of
from processors.attempts import journeys
from processors.attempts.attempt import Attempt
from processors.outcomes.verdicts import Verdict

TASKS = [{"name": "t", "type": "decision", "params": {"value": 1}}]
PAYLOAD = {"type": "Company", "n": 1}


def version(name: str, **trigger: Any) -> WorkflowVersion:
    on = {"enabled": True, "eventType": "externaldata"} | trigger
    document = {"name": name, "tasks": TASKS, "triggers": {"event": on}}
    return WorkflowVersion(tenant="test", name=name, number=3, document=check(document).plain())


def index(*versions: WorkflowVersion) -> WorkflowIndex:
    made = WorkflowIndex()
    for one in versions:
        made.replace(one.ref, one)
    return made


def attempt(said: Event, *versions: WorkflowVersion, ended: tuple[Journey, ...] = ()) -> Attempt:
    """An attempt of the process that the message names."""
    around: Any = SimpleNamespace(
        registry=SimpleNamespace(workflows=index(*versions)), topics=SimpleNamespace(prefix="x."), worker="w"
    )
    record = SimpleNamespace(
        topic="x.events", partition=3, offset=7, timestamp=5, key=b"test/e", value=said.data, headers=[("h", b"\xff")]
    )
    again = Redelivery("createentity", "x1", 2, 0, "x.events", 3, 7, 5, journeys=ended) if ended else None
    process: Any = SimpleNamespace(name=said.type.rpartition(".")[2], version="1", state="")
    nothing: Any = None
    given: Any = SimpleNamespace(event=said, record=record, redelivery=again)
    made = Attempt(around, nothing, nothing, given, process, "x1", nothing)
    made.journeys = journeys.of(made)
    return made


def message(kind: str = "externaldata", subtype: str = "createentity", payload: Any = PAYLOAD) -> Event:
    return event(f"eventingress.{kind}.{subtype}.createentity", payload)


def names(made: Attempt) -> list[str]:
    assert made.journeys is not None
    return [one.workflow for one in made.journeys]


def started(made: Attempt) -> Start:
    verdict = journeys.awaiting(made, Verdict(Status.PENDING), 1000)
    assert verdict.start is not None, verdict
    signal = signal_of(verdict.start.value)
    assert isinstance(signal, Start)
    return signal


def start_id(made: Attempt) -> str:
    verdict = journeys.awaiting(made, Verdict(Status.PENDING), 1000)
    assert verdict.start is not None
    return verdict.start.key.decode().partition("/")[2]
