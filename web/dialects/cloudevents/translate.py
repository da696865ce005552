# SPDX-License-Identifier: Apache-2.0
"""From CloudEvents to drafts, and from receipts and look-ups to the door's answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from bridge.claims.state import Claim
from bridge.domain.errors import NotAllowed
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.domain.principal import Scope
from bridge.domain.receipt import Draft, Receipt
from bridge.domain.view import EventSummary, EventView
from web.dialects.cloudevents import wire

NO_CLAIMS: Mapping[str, Claim] = {}


def drafts(events: Sequence[Event], *, may_correlate: bool) -> list[Draft]:
    """
    Make drafts of the events of one request.

    Raises: NotAllowed where one of them chooses its correlation id and the caller may not.
    """
    made = []
    for event in events:
        made.append(_draft(event, may_correlate))
    return made


def _draft(event: Event, may_correlate: bool) -> Draft:
    correlation_id = event.attributes.get("correlationid")
    if not correlation_id:
        return Draft(event.attributes, event.data)
    if not may_correlate:
        raise NotAllowed(Scope.CORRELATION_SET)
    rest = {name: text for name, text in event.attributes.items() if name != "correlationid"}
    return Draft(rest, event.data, correlation_id=correlation_id)


def receipt(given: Receipt, draft: Draft) -> wire.Receipt:
    """Show a receipt; a repetition of the event shows an equal one."""
    return wire.Receipt(
        key=given.key,
        correlationid=given.correlation_id,
        type=given.type,
        source=draft.attributes["source"],
        id=draft.attributes["id"],
        accepted_at=_iso(given.accepted_ms),
    )


def event(view: EventView, claims: Mapping[str, Claim] = NO_CLAIMS) -> wire.Event:
    """Show an event, its executions, and its claims by transaction key."""
    summary, position = view.summary, view.position
    return wire.Event(
        key=summary.key,
        correlationid=summary.correlation_id,
        status=overall(view).value,
        settled=view.settled,
        accepted_at=_iso(summary.accepted_ms),
        attributes=_attributes(summary),
        size=summary.size,
        position=wire.Place(position.topic, position.partition, position.offset) if position else None,
        executions=tuple(_execution(one) for one in view.executions),
        transactions=tuple(_transaction(tx_key, claim) for tx_key, claim in sorted(claims.items())),
    )


def overall(view: EventView) -> Status:
    """
    Sum an event up in one status.

    While it is not settled: pending until an execution has begun, then in progress. Then: failed if an execution failed,
    else completed if one completed, else skipped, also where no process took the event.
    """
    seen = {execution.status for execution in view.executions}
    if not view.settled:
        return Status.IN_PROGRESS if seen - {Status.PENDING} else Status.PENDING
    return next((status for status in (Status.FAILED, Status.COMPLETED) if status in seen), Status.SKIPPED)


def _attributes(summary: EventSummary) -> dict[str, str]:
    shown = {
        "specversion": "1.0",
        "id": summary.id,
        "source": summary.source,
        "type": summary.type,
        "subject": summary.subject,
        "time": summary.time,
        "datacontenttype": summary.content_type,
        "causationid": summary.causation_id,
        "hops": str(summary.hops or ""),
    }
    return {name: text for name, text in shown.items() if text}


def _transaction(tx_key: str, claim: Claim) -> wire.Transaction:
    until = _iso(claim.until_ms) if claim.state.held else None
    return wire.Transaction(tx_key, claim.state.value, _iso(claim.began_ms), _iso(claim.changes[-1].at_ms), until)


def _execution(execution: Execution) -> wire.Execution:
    return wire.Execution(
        execution_id=execution.execution_id,
        process=execution.process,
        version=execution.version,
        status=execution.status.value,
        attempts=execution.attempt,
        started_at=_iso(execution.started_ms) if execution.started_ms else None,
        finished_at=None if execution.finished_ms is None else _iso(execution.finished_ms),
        due_at=None if execution.due_ms is None else _iso(execution.due_ms),
        replayed_from=execution.replayed_from or None,
        reason=execution.reason,
        data=msgspec.Raw(execution.data.encode()),
        results=tuple(wire.Result(r.id, r.type, r.topic, r.partition, r.offset) for r in execution.results),
    )


def _iso(milliseconds: int) -> str:
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
