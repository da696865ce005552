# SPDX-License-Identifier: Apache-2.0
"""
What the live view keeps of an event, made from the event alone.

The intake, the worker (for emitted events) and the rebuild use it, so that a rebuilt view equals the lost one byte for byte. It
is kept without the names of its fields, which would be a quarter of it.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter

import msgspec

from bridge.domain.event import Event
from bridge.domain.view import EventSummary

Fields = tuple[str, str, str, str, str, str, str, str, str, str, int, int, int]
"""The fields of `EventSummary`, in their order."""

_values = attrgetter(*(field.name for field in dataclasses.fields(EventSummary)))
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Fields)


def summarise(event: Event, accepted_ms: int) -> EventSummary:
    """
    Give an event's summary.

    Shape:  the event has the attributes that the bridge adds; `accepted_ms` is the timestamp of its record.
    Raises: KeyError where `eventkey` or `tenantid` is missing, ValueError where `hops` is no number: no event of ours.
    """
    return EventSummary(*_fields(event, accepted_ms))


def written(event: Event, accepted_ms: int) -> bytes:
    """Give what is kept of an event. Raises: as `summarise`."""
    return _ENCODER.encode(_fields(event, accepted_ms))


def encode(summary: EventSummary) -> bytes:
    """Give what is kept of a summarised event: the same as `written`."""
    return _ENCODER.encode(_values(summary))


def decode(value: bytes) -> EventSummary:
    """Read what is kept of an event. Raises: ValueError where the bytes are nothing of ours."""
    return EventSummary(*_DECODER.decode(value))


def _fields(event: Event, accepted_ms: int) -> Fields:
    given = event.attributes
    text = given.get
    key = given["eventkey"]
    return (
        key,
        given["tenantid"],
        given["id"],
        given["source"],
        given["type"],
        text("subject", ""),
        text("time", ""),
        text("datacontenttype", ""),
        text("correlationid") or key,
        text("causationid", ""),
        int(given["hops"]) if "hops" in given else 0,
        accepted_ms,
        len(event.data),
    )
