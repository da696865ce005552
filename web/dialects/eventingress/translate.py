# SPDX-License-Identifier: Apache-2.0
"""
From the document's shapes to events, and back. Pure: ids and times are handed in.

A message becomes an event of the type `eventingress.<event type>.<subtype>.<business process>`: so each process gets its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bridge.cloudevents.percent import storable
from bridge.domain.execution import Execution, Status
from bridge.domain.moments import iso
from bridge.domain.receipt import Draft
from bridge.ingress.messages import Message
from bridge.ingress.rows import CORRELATION, ENTITY, PRIORITY, SENDER, SOURCE, TYPE
from bridge.registry.ingress import EventType
from web.dialects.eventingress.requests import Sent

RECEIVED, PROCESSING, PROCESSED, FAILED = "Received", "Processing", "Processed", "Failed"
ENDS: Final = {Status.COMPLETED: PROCESSED, Status.SKIPPED: PROCESSED, Status.FAILED: FAILED}
ENTITY_MEMBERS: Final = (
    "id",
    "createdAt",
    "eventId",
    "entityId",
    "taskId",
    "processingStatus",
    "journeyId",
    "externalIdentifier",
    "action",
)

_decode = msgspec.json.Decoder().decode


def draft(asked: Sent, correlation_id: str, event_id: str, now_ms: int) -> Draft:
    """Translate `POST /v1/events`; `correlation_id` is the header's, for a body that names none."""
    process = asked.subtype.business_process
    correlation = asked.correlation_id or correlation_id
    values = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": f"{TYPE}.{asked.event_type}.{asked.subtype.key}.{process}",
        "time": iso(now_ms),
        "datacontenttype": "application/json" if asked.payload else "",
        "partitionkey": asked.entity_id,
        ENTITY: asked.entity_id,
        SENDER: storable(asked.source),
        CORRELATION: storable(correlation),
        PRIORITY: "" if asked.priority is None else str(asked.priority),
    }
    return Draft({name: value for name, value in values.items() if value}, asked.payload, born=True)


def moment(ms: int) -> str:
    """Write a time as the document's examples do: seven digits of a second, and the zone."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}.{ms % 1000:03d}0000+00:00"


def business_processes(offered: Mapping[str, str]) -> list[dict[str, str]]:
    """Give the answer of `GET /v1/business-process-types`."""
    return [{"key": key, "displayName": name} for key, name in offered.items()]


def event_types(system: Iterable[EventType], own: Iterable[EventType]) -> list[dict[str, Any]]:
    """Give the answer of `GET /v1/event-types`."""
    return [_event_type(one, system=True) for one in system] + [_event_type(one, system=False) for one in own]


def message(found: Message) -> dict[str, Any]:
    """Give the document's `GetEventResponse`."""
    row = found.row
    status, execution = _standing(found)
    return {
        "eventId": found.key,
        "source": row.source or None,
        "status": {"status": status, "statusDetails": _details(found, status, execution)},
        "eventType": row.event_type,
        "eventSubtype": row.event_subtype,
        "correlationId": row.correlation_id or None,
        "priority": row.priority,
        "entityId": row.entity_id or None,
        "receivedTime": moment(row.received_ms),
        "processedTime": moment(execution.finished_ms) if execution and execution.finished_ms else None,
        "eventData": msgspec.Raw(found.payload) if found.payload else None,
        "entities": _entities(found.key, execution),
    }


def _event_type(one: EventType, *, system: bool) -> dict[str, Any]:
    subtypes = [
        {"key": sub.key, "displayName": sub.display_name, "businessProcessType": sub.business_process} for sub in one.subtypes
    ]
    return {"key": one.key, "displayName": one.display_name, "isSystemDefined": system, "eventSubtypes": subtypes}


def _standing(found: Message) -> tuple[str, Execution | None]:
    """Say how far its business process is with a message; of a replayed one, the last run counts."""
    own = [one for one in found.view.executions if one.process == found.row.process]
    begun = [one for one in own if one.attempt > 0]
    if not begun:
        return (FAILED if found.view.routed and not own else RECEIVED), None
    last = max(begun, key=lambda one: (one.started_ms, one.execution_id))
    return ENDS.get(last.status, PROCESSING), last


def _details(found: Message, status: str, execution: Execution | None) -> dict[str, Any]:
    cause, details, warnings = None, [], []
    if execution is None:
        cause = f"No worker runs the business process {found.row.process} for this tenant." if status == FAILED else None
    elif status == FAILED:
        cause = execution.reason
        details = [{"correlationKey": found.row.correlation_id or None, "id": execution.execution_id, "message": cause}]
    elif execution.reason:  # why an attempt is made again, or why there was nothing to do
        warnings = [{"origin": execution.process, "message": execution.reason}]
    return {"cause": cause, "details": details, "warnings": warnings}


def _entities(event_id: str, execution: Execution | None) -> list[dict[str, Any]]:
    """Give what the process says of entities in the member `entities` of its data; what is no object there is passed over."""
    said = _decode(execution.data) if execution else None
    listed = said.get("entities") if isinstance(said, dict) else None
    plain = dict.fromkeys(ENTITY_MEMBERS) | {"eventId": event_id, "processingStatus": PROCESSED}
    given = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [plain | {name: one[name] for name in ENTITY_MEMBERS if name in one} for one in given]
