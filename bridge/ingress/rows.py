# SPDX-License-Identifier: Apache-2.0
"""
Messages of the Event Ingress dialect, as events carry them and as the live view lists them.

Which event is a message is decided here alone: one that was born at that door. Its row, with the sender's own bytes, is written
by the door once Kafka has the event, by the worker when it comes to it, and by the rebuild; all through here, so that all write
the same. Why the view keeps it: docs/decisions/0064-messages-are-shown-from-the-view.md.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import msgspec

from bridge.domain.event import Event
from bridge.redis import operations
from bridge.redis.keys import Keys
from bridge.redis.operations import Operation

SOURCE: Final = "/eventingress"
TYPE: Final = "eventingress"
SENDER, CORRELATION, ENTITY, PRIORITY = "ingresssource", "ingresscorrelation", "entityid", "ingresspriority"
FIELD: Final = "m"
"""Of the event's entry in the live view: its row."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A message; texts are empty where it has none. `received_ms` is the time of its record in Kafka."""

    event_type: str
    event_subtype: str
    process: str
    source: str
    correlation_id: str
    entity_id: str
    priority: int | None
    received_ms: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Row).decode


def listed(keys: Keys, event: Event, accepted_ms: int, keep_s: int) -> Operation | None:
    """Say for `scripts/project.lua` that a message is among its tenant's; None for any other event."""
    if event.source != SOURCE or event.id != event.key:
        return None
    try:
        row = _row(event, accepted_ms)
        where = keys.messages(event.tenant)
        return operations.listed(keys, event, FIELD, where, accepted_ms, keep_s, _encode(row) + b"\n" + event.data)
    except ValueError:  # no door of ours wrote it: other types, or attributes of another form
        return None


def _row(event: Event, accepted_ms: int) -> Row:
    """Raises: ValueError where the event is not as the door makes them."""
    _, event_type, event_subtype, process = event.type.split(".")
    text = event.attributes.get
    return Row(
        event_type,
        event_subtype,
        process,
        unquote(text(SENDER, "")),
        unquote(text(CORRELATION, "")),
        text(ENTITY, ""),
        int(text(PRIORITY, "")) if PRIORITY in event.attributes else None,
        accepted_ms,
    )


def read(body: bytes) -> tuple[Row, bytes]:
    """Read what the view keeps of a message: its row and its payload."""
    row, _, data = body.partition(b"\n")
    return _decode(row), data
