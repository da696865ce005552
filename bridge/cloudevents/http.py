# SPDX-License-Identifier: Apache-2.0
"""
Events as HTTP messages (CloudEvents 1.0.2, HTTP protocol binding): binary, structured and batched mode.

The native door reads requests with it, clients of ours write them. It knows no framework and never re-encodes data.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.cloudevents import jsonformat, jsontext, percent, plain, producer, syntax
from bridge.cloudevents.attributes import is_event_format
from bridge.domain.errors import Fault, InvalidEvent, UnsupportedMedia
from bridge.domain.event import Event

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def read(headers: Mapping[str, str], body: bytes) -> list[Event]:
    """
    Read the events of one request, in order.

    Shape:  `headers` have lower-case names. `data` is the producer's own bytes: the body, or a slice of it.
    Raises: InvalidEvent with every fault (`header:ce-id`, or a JSON Pointer); UnsupportedMedia for another event format.
    Source: HTTP protocol binding section 3; docs/decisions/0040-how-strict-the-native-door-is.md
    """
    event = plain.event_of(headers, body)
    if event is not None:
        return [event]
    content_type = headers.get("content-type", "")
    if not is_event_format(content_type):
        events, faults = _read_binary(headers, body)
    else:
        media = syntax.media_type(content_type)
        if media not in (STRUCTURED, BATCH) or syntax.charset(content_type) not in ("", "utf-8", "us-ascii"):
            raise UnsupportedMedia(f"Events are read as {STRUCTURED} or {BATCH}, in UTF-8, or in binary mode.")
        events, faults = (jsonformat.read if media == STRUCTURED else jsonformat.read_batch)(body)
    if faults:
        raise InvalidEvent(*faults)
    return events


def is_batch(headers: Mapping[str, str]) -> bool:
    """Say whether a request, which `read` has read, is a batch: even one of a single event is answered as such."""
    content_type = headers.get("content-type", "")
    return is_event_format(content_type) and syntax.media_type(content_type) == BATCH


def binary_headers(event: Event) -> dict[str, str]:
    """Give the headers of an event in binary mode; the body is its data."""
    headers = {f"ce-{name}": percent.encode(text) for name, text in event.attributes.items() if name != "datacontenttype"}
    if "datacontenttype" in event.attributes:
        headers["content-type"] = event.attributes["datacontenttype"]
    return headers


def _read_binary(headers: Mapping[str, str], body: bytes) -> tuple[list[Event], list[Fault]]:
    attributes: dict[str, str] = {}
    faults: dict[str, str] = {}
    for header, value in headers.items():
        if header[:3] == "ce-":
            name = header[3:]
            if name == "datacontenttype":
                faults[header] = "must not be sent: content-type carries it"
                continue
            attributes[name], fault = percent.decode(value)
            if fault:
                faults[header] = fault
    content_type = headers.get("content-type")
    if content_type is not None:
        attributes["datacontenttype"] = content_type
        if body and syntax.is_json(content_type) and (fault := jsontext.fault(body)):
            faults[""] = fault
    for name, fault in producer.attribute_faults(attributes):
        faults.setdefault("content-type" if name == "datacontenttype" else f"ce-{name}" if name else "", fault)
    return [Event(attributes, body)], [Fault(f"header:{where}" if where else "", fault) for where, fault in faults.items()]
