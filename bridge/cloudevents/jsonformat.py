# SPDX-License-Identifier: Apache-2.0
"""
Events in the CloudEvents JSON format 1.0.2: structured bodies and batches, read without re-encoding their data.

`bridge.cloudevents.http` calls it. Each member's value stays a slice of the body until it is known to be an attribute.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping

import msgspec

from bridge.cloudevents import jsonmembers, jsontext, producer, syntax
from bridge.domain.errors import Fault
from bridge.domain.event import Event
from bridge.domain.limits import ATTRIBUTES, BATCH_EVENTS

_array_of = msgspec.json.Decoder(list[msgspec.Raw]).decode
_string_of = msgspec.json.Decoder(str).decode
_INTEGER = re.compile(rb"-?\d{1,10}\Z")
_STRINGS = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"})
_CHARSETS = {"": "utf-8", "utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}


def read(body: bytes) -> tuple[list[Event], list[Fault]]:
    """Read one structured event: the event, or every fault with its JSON Pointer."""
    if fault := jsontext.fault(body):
        return [], [Fault("", fault)]
    event, faults = _event(body, "")
    return [event], faults


def read_batch(body: bytes) -> tuple[list[Event], list[Fault]]:
    """Read a batch of 1 to `BATCH_EVENTS` events, in order: all of them, or every fault with its JSON Pointer."""
    if fault := jsontext.fault(body):
        return [], [Fault("", fault)]
    try:
        members = _array_of(body)
    except msgspec.ValidationError:
        return [], [Fault("", "must be an array of events")]
    if not members:
        return [], [Fault("", "has no event")]
    if len(members) > BATCH_EVENTS:
        return [], [Fault("", f"has {len(members)} events; the limit is {BATCH_EVENTS}")]
    read_ones = [_event(bytes(member), f"/{index}") for index, member in enumerate(members)]
    return [event for event, _ in read_ones], [fault for _, faults in read_ones for fault in faults]


def _event(text: bytes, at: str) -> tuple[Event, list[Fault]]:
    """Read one event from well-formed JSON; what it gives means nothing where it has faults."""
    try:
        found = jsonmembers.members(text, ATTRIBUTES + 2)  # data and data_base64 are members too
    except msgspec.ValidationError:
        return Event({}), [Fault(at, "must be an object")]
    except jsonmembers.TooMany:
        return Event({}), [Fault(at, f"has more than {ATTRIBUTES} attributes")]
    values, faults = jsonmembers.once(found)
    attributes = _attributes(values, faults)
    data = _data(values, attributes, faults)
    for name, fault in producer.attribute_faults(attributes):
        faults.setdefault(name, fault)
    return Event(attributes, data), [Fault(at + jsonmembers.pointer(name), fault) for name, fault in faults.items()]


def _attributes(values: Mapping[str, bytes], faults: dict[str, str]) -> dict[str, str]:
    attributes = {}
    for name, value in values.items():
        if name in ("data", "data_base64") or value == b"null":
            continue
        text, fault = _canonical(value)
        if not fault and name in _STRINGS and value[:1] != b'"':
            fault = "must be a string"
        if fault:
            faults.setdefault(name, fault)
        attributes[name] = text
    return attributes


def _canonical(value: bytes) -> tuple[str, str]:
    """Give an attribute value's canonical text (section 2.2), and what is wrong with it."""
    if value[:1] == b'"':
        return _string_of(value), ""
    if value in (b"true", b"false"):
        return value.decode(), ""
    if value[:1] in (b"{", b"["):
        return "", "must be a string, a boolean or an integer"
    if _INTEGER.match(value) and -(2**31) <= int(value) < 2**31:
        return str(int(value)), ""
    return "", "must be a whole number from -2147483648 to 2147483647"


def _data(values: Mapping[str, bytes], attributes: dict[str, str], faults: dict[str, str]) -> bytes:
    """Give the data's bytes (section 3.1.2); JSON data without a type is named `application/json`."""
    encoded = values.get("data_base64", b"null")
    if encoded != b"null":
        if values.get("data", b"null") != b"null":
            faults.setdefault("data", "must not stand beside data_base64")
        return _binary(encoded, attributes.get("datacontenttype", ""), faults)
    if "data" not in values:
        return b""
    content_type = attributes.setdefault("datacontenttype", "application/json")
    if syntax.is_json(content_type):
        return values["data"]
    return b"" if values["data"] == b"null" else _text(values["data"], content_type, faults)


def _binary(value: bytes, content_type: str, faults: dict[str, str]) -> bytes:
    if value[:1] != b'"':
        faults.setdefault("data_base64", "must be a string")
        return b""
    try:
        data = binascii.a2b_base64(_string_of(value).encode(), strict_mode=True)
    except binascii.Error as err:
        faults.setdefault("data_base64", f"is not base64 (RFC 4648): {err}")
        return b""
    if data and syntax.is_json(content_type) and (fault := jsontext.fault(data)):
        faults.setdefault("data_base64", f"{fault}, once decoded")
    return data


def _text(value: bytes, content_type: str, faults: dict[str, str]) -> bytes:
    charset = _CHARSETS.get(syntax.charset(content_type))
    if value[:1] != b'"':
        faults.setdefault("data", f"must be a string, since {content_type} is not JSON")
    elif charset is None:
        faults.setdefault("data", "must come as data_base64 in this charset")
    else:
        try:
            return _string_of(value).encode(charset)
        except UnicodeEncodeError as err:
            faults.setdefault("data", f"has a character that {charset} lacks, at position {err.start}")
    return b""
