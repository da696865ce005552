# SPDX-License-Identifier: Apache-2.0
"""
From FX's shapes to domain events, and from executions to FX's shapes. Pure: ids and times are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from bridge.cloudevents import syntax
from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.execution import Execution
from bridge.domain.limits import ATTRIBUTE_CHARS, CORRELATION_CHARS
from bridge.domain.moments import iso
from bridge.domain.receipt import Draft
from bridge.ingress.rows import SOURCE as MESSAGES
from web.dialects.fx import wire

JSON = "application/json"
WEBHOOK_TYPE = "webhook.received"
URI_CHARACTERS = "!#$&'()*+,/:;=?@[]~%-._"
"""What a URI reference may hold unescaped; everything else in an `event_source` is percent-encoded."""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    What the bridge knows of a request beside its body.

    A fresh event id and the time; the source and the event type that the caller's credential stands for; and whether the caller
    may choose the correlation id.
    """

    event_id: str
    time: str
    source: str
    event_type: str
    may_correlate: bool


def submitted(request: wire.EventRequest, faults: list[Fault], origin: Origin) -> Draft:
    """
    Translate `POST /fx/events`; `faults` are those that reading it has found.

    Raises: InvalidEvent with every fault.
    """
    source = source_of(request.event_source)
    correlation, more = _correlation(wire.peek(request.payload), "/payload", origin)
    if source == MESSAGES:
        faults = [*faults, Fault("/event_source", f"{MESSAGES} is the source of the messages of Event Ingress: choose another")]
    _refuse([*faults, *_too_long("/event_source", source), *_too_long("/event_type", request.event_type), *more])
    values = _born(origin) | {"source": source, "type": request.event_type}
    return Draft(values, request.payload, born=True, correlation_id=correlation)


def generic(body: bytes, origin: Origin) -> Draft:
    """Translate `POST /fx/events/generic`: the whole body is the data."""
    seen = wire.peek(body)
    event_type = wire.text_or_none(seen.event_type) or wire.text_or_none(seen.type) or origin.event_type
    correlation, faults = _correlation(seen, "", origin)
    if not event_type:
        faults.append(Fault("/event_type", "is required: neither event_type nor type is a text, and the key has no default type"))
    faults += _too_long("/event_type", event_type)
    _refuse(faults)
    return Draft(_born(origin) | {"type": event_type}, body, born=True, correlation_id=correlation)


def webhook(body: bytes, github_event: str | None, delivery: str | None, origin: Origin) -> Draft:
    """
    Translate `POST /fx/events/webhook`: the whole body is the data.

    GitHub's headers give the type and, so that a redelivery is recognised, the event id.
    Raises: InvalidEvent with every fault.
    """
    seen = wire.peek(body)
    correlation, faults = _correlation(seen, "", origin)
    values = _born(origin) | {"type": origin.event_type or WEBHOOK_TYPE}
    if github_event is not None:
        faults += _token("header:x-github-event", github_event)
        values["type"] = f"github.{github_event}"
        partition_key = _github_owner(seen)
        if partition_key:
            values["partitionkey"] = partition_key
    if delivery is not None:
        faults += _token("header:x-github-delivery", delivery)
        values["id"] = delivery
    _refuse(faults)
    return Draft(values, body, born=delivery is None, correlation_id=correlation)


def source_of(event_source: str) -> str:
    """Make the URI reference that a CloudEvents source must be: characters that it cannot hold are percent-encoded."""
    encoded = quote(event_source, safe=URI_CHARACTERS)
    return quote(event_source, safe="/-._~") if syntax.uri_reference_fault(encoded) else encoded


def execution_result(execution: Execution) -> dict[str, Any]:
    """
    Give the document's `ExecutionResult`, every member filled.

    `datetime` is when the execution began, or, while it is pending, when its event was accepted. `execution_time` is in
    seconds, 0 until the execution has ended. `data` is what the process saved; where it saved nothing, why it did not
    complete (and, while it waits for another attempt, which one failed and when the next is due), or an empty object.
    """
    return {
        "data": _data(execution),
        "datetime": iso(execution.started_ms or execution.received_ms),
        "execution_id": execution.execution_id,
        "execution_time": _seconds(execution),
        "service": execution.process,
        "status": execution.status.value,
    }


def _data(execution: Execution) -> Any:
    if execution.data != "null":
        return orjson.Fragment(execution.data)
    if execution.due_ms is not None:
        return {"reason": execution.reason, "attempt": execution.attempt, "next_attempt": iso(execution.due_ms)}
    return {"reason": execution.reason} if execution.reason else {}


def _seconds(execution: Execution) -> float:
    if execution.finished_ms is None or not execution.started_ms:
        return 0.0
    return max(0, execution.finished_ms - execution.started_ms) / 1000


def _born(origin: Origin) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": origin.event_id,
        "source": origin.source,
        "type": "",
        "time": origin.time,
        "datacontenttype": JSON,
    }


def _correlation(seen: wire.Peek, at: str, origin: Origin) -> tuple[str, list[Fault]]:
    """Take `_fxcid` where the caller may choose it; otherwise it is data like any other."""
    if not origin.may_correlate or not wire.given(seen.fxcid):
        return "", []
    text = wire.text_or_none(seen.fxcid)
    if text is None or len(text) > CORRELATION_CHARS or "/" in text or text in (".", ".."):  # a step of the path /fx/cid/{cid}
        limit = f"1 to {CORRELATION_CHARS} characters, without control characters and slashes, and not a dot or two"
        return "", [Fault(f"{at}/_fxcid", f"must be a text of {limit}")]
    return text, []


def _github_owner(seen: wire.Peek) -> str | None:
    """Keep a repository's events in order; those without a repository by their organization. Longer names are nobody's."""
    repository, organization = wire.names(seen.repository), wire.names(seen.organization)
    owner = wire.text_or_none(repository.full_name) or wire.text_or_none(organization.login)
    return owner if owner and len(owner) <= ATTRIBUTE_CHARS else None


def _token(pointer: str, text: str) -> list[Fault]:
    plain = 0 < len(text) <= 128 and all(c.isalnum() or c in "_-." for c in text)
    return [] if plain else [Fault(pointer, "must be 1 to 128 letters, digits, hyphens, dots or underscores")]


def _too_long(pointer: str, text: str) -> list[Fault]:
    return [Fault(pointer, f"is longer than {ATTRIBUTE_CHARS} characters")] if len(text) > ATTRIBUTE_CHARS else []


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise InvalidEvent(*faults)
