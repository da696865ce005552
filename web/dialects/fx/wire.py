# SPDX-License-Identifier: Apache-2.0
"""
The shapes of the FX document, read from bytes and written to bytes.

Reading slices values out of the body without building or re-writing them, so that an event's data reaches Kafka as it was
sent. It finds every fault at once and raises nothing but InvalidEvent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from bridge.cloudevents import attributes, jsonmembers, jsontext
from bridge.cloudevents.jsonmembers import pointer
from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.limits import ATTRIBUTES

EVENT_MEMBERS = ("event_source", "event_type", "payload")


class EventRequest(msgspec.Struct, frozen=True):
    """The document's `EventRequest`; `payload` is the slice of the body that holds it."""

    event_source: str
    event_type: str
    payload: bytes


class Peek(msgspec.Struct, rename={"fxcid": "_fxcid"}):
    """The members of a free-form body that mean something here; each is undecoded, or absent."""

    event_type: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    fxcid: msgspec.Raw = msgspec.Raw()
    repository: msgspec.Raw = msgspec.Raw()
    organization: msgspec.Raw = msgspec.Raw()


class Names(msgspec.Struct):
    """What GitHub calls a repository or an organization."""

    full_name: msgspec.Raw = msgspec.Raw()
    login: msgspec.Raw = msgspec.Raw()


_peek = msgspec.json.Decoder(Peek).decode
_names = msgspec.json.Decoder(Names).decode


def read_event(body: bytes) -> tuple[EventRequest, list[Fault]]:
    """
    Read the body of `POST /fx/events`, and say everything that is wrong with it; what has a fault is empty.

    Raises: InvalidEvent where it is no JSON, or no object.
    """
    check_json(body)
    if not is_object(body):
        raise InvalidEvent(Fault("", "must be an object with event_source, event_type and payload"))
    try:
        members, twice = jsonmembers.once(jsonmembers.members(body, ATTRIBUTES))
    except jsonmembers.TooMany:
        raise InvalidEvent(Fault("", f"has more than {ATTRIBUTES} members; put your own into payload")) from None
    faults = [Fault(f"/{name}", "is required") for name in EVENT_MEMBERS if name not in members]
    faults += [Fault(pointer(name), "is not known here; put it into payload") for name in members if name not in EVENT_MEMBERS]
    faults += [Fault(pointer(name), fault) for name, fault in twice.items() if name in EVENT_MEMBERS]
    texts = {}
    for name in ("event_source", "event_type"):
        texts[name], fault = _text(members[name]) if name in members else ("", "")
        if fault and name not in twice:
            faults.append(Fault(f"/{name}", fault))
    return EventRequest(texts["event_source"], texts["event_type"], members.get("payload", b"null")), faults


def check_json(body: bytes) -> None:
    """Raise InvalidEvent where the body is not JSON."""
    fault = jsontext.fault(body)
    if fault:
        raise InvalidEvent(Fault("", fault))


def is_object(text: bytes) -> bool:
    """Say whether JSON text is an object."""
    return text.lstrip(b" \t\r\n").startswith(b"{")


def peek(text: bytes) -> Peek:
    """Look into JSON text that has passed `check_json`; anything but an object has none of the members."""
    return _peek(text) if is_object(text) else Peek()


def text_or_none(raw: msgspec.Raw) -> str | None:
    """Give a member's value where it is a usable text, else None."""
    text, fault = _text(raw)
    return None if fault else text


def names(raw: msgspec.Raw) -> Names:
    """Look into a member that `peek` found; anything but an object has no names."""
    return _names(raw) if is_object(bytes(raw)) else Names()


def given(raw: msgspec.Raw) -> bool:
    """Say whether a member was there at all."""
    return bool(bytes(raw))


def write_created(cid: str, event_type: str) -> bytes:
    """Write the document's `CreateEventResponse`."""
    return orjson.dumps({"cid": cid, "eventType": event_type})


def write(value: Mapping[str, Any]) -> bytes:
    """Write an `ExecutionResult` or a `CIDResult`."""
    return orjson.dumps(value)


def _text(raw: msgspec.Raw | bytes) -> tuple[str, str]:
    """Give a member's text and what is wrong with it."""
    if not bytes(raw).startswith(b'"'):
        return "", "must be a text"
    text: str = msgspec.json.decode(raw, type=str)
    if not text.strip():
        return "", "must not be empty"
    return text, attributes.text_fault(text)
