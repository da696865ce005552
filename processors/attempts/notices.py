# SPDX-License-Identifier: Apache-2.0
"""
What a business process tells the sender of a message: a notice for each step that it publishes, and one for its outcome. Pure.

A step is a result whose type has a colon, such as `entitydata:created`; its notice has the result's id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from bridge.cloudevents.jsontext import fault
from bridge.domain import ids
from bridge.domain.execution import Execution, Status
from bridge.notifications.notice import CORRELATION, FAILED, JSON, SUCCESS, Notice
from processors.attempts import messages
from processors.clock import now_ms
from processors.outcomes.outputs import Output
from processors.outcomes.verdicts import Verdict

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

EVENTS_URL: Final = "/eventingress/v1/events/"

_encode = msgspec.json.Encoder().encode


class _Outcome(msgspec.Struct, rename="camel"):
    """The payload of an outcome."""

    event_id: str
    event_type: str
    event_subtype: str
    status: str
    cause: str | None
    result: msgspec.Raw


def steps(attempt: Attempt, verdict: Verdict) -> Iterator[Notice]:
    """Give the notices of the steps that a verdict publishes."""
    if verdict.outputs and messages.concerns(attempt):
        for output in verdict.outputs:
            if output.event is None and ":" in output.type:
                yield _step(attempt, output)


def outcome(attempt: Attempt, execution: Execution) -> Notice:
    """Give the notice of an execution that has ended."""
    event = attempt.given.event
    kind, subtype = messages.parts(event.type)
    well = execution.status is not Status.FAILED
    payload = _Outcome(
        event_id=event.key,
        event_type=kind,
        event_subtype=subtype,
        status="Processed" if well else "Failed",
        cause=execution.reason or None,
        result=msgspec.Raw(execution.data.encode()),
    )
    return Notice(
        id=ids.notice_id(execution.execution_id),
        tenant=event.tenant,
        type=SUCCESS if well else FAILED,
        url=EVENTS_URL + event.key,
        payload=_encode(payload),
        when_ms=execution.finished_ms or now_ms(),
        correlation=event.attributes.get(CORRELATION, ""),
        causation=event.key,
    )


def _step(attempt: Attempt, output: Output) -> Notice:
    event, headers = attempt.given.event, dict(output.headers)
    subject = headers.get("ce_subject", b"").decode()
    return Notice(
        id=output.id,
        tenant=event.tenant,
        type=output.type,
        url=EVENTS_URL + event.key,
        payload=output.value if headers.get("content-type") == JSON.encode() and not fault(output.value) else b"",
        when_ms=now_ms(),
        correlation=event.attributes.get(CORRELATION, ""),
        causation=subject or event.key,
    )
