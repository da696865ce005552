# SPDX-License-Identifier: Apache-2.0
"""
The journeys of a message: which workflows they are of, and how an execution that awaits them begins them.

The last signal of each is the message itself: the run that has ended gives it back to its process.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from uuid_utils import uuid7

from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.redelivery import Journey
from bridge.registry.default_journeys import DEFAULT_JOURNEYS, default_of
from bridge.registry.system_types import SYSTEM_TYPES
from bridge.registry.view import View
from bridge.runs.carried import signal_event
from bridge.topics import SIGNALS
from bridge.workflows.advance import fresh
from bridge.workflows.conditions import hold
from bridge.workflows.journeys import JOINING, MOST, SHIPPED, run_ids
from bridge.workflows.limits import RUN_BYTES, STEP_CHARS
from bridge.workflows.run import Asker, encode
from bridge.workflows.signals import Start
from processors.attempts import messages, records
from processors.outcomes.outputs import Output
from processors.outcomes.verdicts import JOURNEYS, Verdict, Wait, failed

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

TASKS_BYTES: Final = 8192
"""What is left of a run's room for how far its tasks are."""


def of(attempt: Attempt) -> tuple[Journey, ...] | None:
    """Give the journeys of an attempt's message: those that have ended, else those that fit it; None where it is no message."""
    again, event = attempt.given.redelivery, attempt.given.event
    if again is not None and again.journeys:
        return again.journeys
    if not messages.concerns(attempt):
        return None
    numbers = _fitting(attempt.around.registry, event, attempt.process.name)
    started = run_ids(_first_run(attempt.execution_id, [*numbers]), [*numbers])
    return tuple(Journey(run_id, name, version=numbers[name]) for name, run_id in started.items())


def _first_run(execution_id: str, names: list[str]) -> str:
    """Name the run that is started: the one journey, or the run that joins them."""
    return ids.run_id(execution_id, names[0] if len(names) == 1 else JOINING)


def _fitting(registry: View, event: Event, process: str) -> dict[str, int]:
    """
    Give the tenant's workflows whose trigger fits, by name, with their versions; without any the default for a system event type.
    """
    kind, subtype = messages.parts(event.type)
    versions = registry.workflows.journeys(event.tenant, kind)
    facts = _facts(event) if versions else {}
    found = {}
    for version in versions:
        trigger = version.workflow.triggers.event if version.workflow is not None else None
        if trigger is not None and trigger.event_subtype in ("", subtype) and hold(trigger.conditions, facts):
            found[version.name] = version.number
    shipped = default_of(process)
    return found or ({shipped: SHIPPED} if kind in SYSTEM_TYPES and shipped in DEFAULT_JOURNEYS else {})


def _facts(event: Event) -> dict[str, Any]:
    """Give what conditions look at: the CloudEvent as JSON, without data where they cannot be read."""
    facts: dict[str, Any] = dict(event.attributes)
    try:
        return facts | {"data": json.loads(event.data)} if event.data else facts
    except (ValueError, RecursionError):
        return facts


def awaiting(attempt: Attempt, verdict: Verdict, now_ms: int) -> Verdict:
    """Let a verdict begin the journeys that it awaits; one of failure where there are none that could be."""
    if not attempt.journeys or attempt.journeys_ended:
        return failed("invalid-outcome", "run() awaits journeys, but there are none, or they have ended")
    names = [journey.workflow for journey in attempt.journeys]
    if len(names) > MOST:
        return failed("too-many-journeys", f"{len(names)} workflows fit this message; at most {MOST} can be its journeys")
    waits = msgspec.structs.replace(verdict, reason=f"waits for {', '.join(names)}", wait=Wait(JOURNEYS, now_ms))
    try:
        start = _start(attempt, attempt.journeys, _asker(attempt, waits, now_ms))
    except (ValueError, RecursionError) as err:
        return failed("invalid-payload", f"the payload cannot be given to a journey: {err}")
    run_id, event = _first_run(attempt.execution_id, names), attempt.given.event
    size = len(encode(fresh(run_id, start, now_ms))) + TASKS_BYTES
    if size > RUN_BYTES or size * len(names) > STEP_CHARS:
        what = f"with this message its {len(names)} journeys would keep {size} bytes each; at most {RUN_BYTES} are kept"
        return failed("payload-too-large", f"{what}, and {STEP_CHARS} together")
    # Each is a signal of its own: a run that has ended has to answer again, for whoever asks may have lost the answer.
    told = signal_event(event.tenant, run_id, str(uuid7()), start, now_ms, start.correlation_id)
    begins = Output(told.key, told.type, record_key(told), headers_of(told), told.data, topic=SIGNALS.suffix)
    return msgspec.structs.replace(waits, start=begins)


def _start(attempt: Attempt, journeys: tuple[Journey, ...], asker: Asker) -> Start:
    event = attempt.given.event
    params: dict[str, Any] = {"event": dict(event.attributes)}
    name, number = journeys[0].workflow, journeys[0].version
    if len(journeys) > 1:
        name, number = JOINING, SHIPPED
        params[JOINING] = [journey.workflow for journey in journeys]
    return Start(
        tenant=event.tenant,
        workflow=name,
        version=number,
        trigger="event",
        initiated_by=event.key,
        params=params,
        asker=asker,
        hops=event.hops + 1,
        correlation_id=event.correlation_id or event.key,
    )


def _asker(attempt: Attempt, verdict: Verdict, now_ms: int) -> Asker:
    """Give the message's next delivery. Raises: ValueError and RecursionError where its payload is no JSON."""
    wait = Wait(SIGNALS.suffix, 0)
    again = records.waiting(attempt, msgspec.structs.replace(verdict, wait=wait), now_ms)
    text = (again.value or b"").decode()
    if text:
        json.loads(text)
    return Asker(again.partition, again.key or b"", tuple(again.headers), text)
