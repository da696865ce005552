# SPDX-License-Identifier: Apache-2.0
"""
What the live view keeps of an event, made from the event alone.

The intake, the worker (for emitted events) and the rebuild use it, so that a rebuilt view equals the lost one byte for byte.
"""

from __future__ import annotations

import msgspec

from bridge.domain.event import Event
from bridge.domain.view import EventSummary

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(EventSummary)


def summarise(event: Event, accepted_ms: int) -> EventSummary:
    """
    Give an event's summary.

    Shape:  the event has the attributes that the bridge adds; `accepted_ms` is the timestamp of its record.
    Raises: KeyError where `eventkey` or `tenantid` is missing, ValueError where `hops` is no number: no event of ours.
    """
    given = event.attributes
    text = given.get
    key = given["eventkey"]
    return EventSummary(
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


def encode(summary: EventSummary) -> bytes:
    """Give a summary's JSON; equal summaries give equal bytes."""
    return _ENCODER.encode(summary)


def decode(value: bytes) -> EventSummary:
    """Read a summary. Raises: ValueError where the bytes are not one."""
    return _DECODER.decode(value)
