# SPDX-License-Identifier: Apache-2.0
"""
Events as Kafka records, in binary mode (CloudEvents 1.0.2, Kafka protocol binding section 3.2).

The intake and the worker use it for every record, so it is written for speed: header names are checked once and remembered,
values take one look each. It never opens the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter

from bridge.cloudevents import attributes as rules
from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.event import Event

Headers = list[tuple[str, bytes]]

_KNOWN_NAMES, _NAME_CHARS = 1024, 20  # bounds on what a stranger's header names can make us remember
_SET_CHARS = 400  # the same for a set of names that come together

_attribute_of: dict[str, str] = {"content-type": "datacontenttype"}


def headers_of(event: Event) -> Headers:
    """
    Give the headers of an event's record: `ce_<attribute>` for each attribute, then `content-type`.

    Shape: values are UTF-8; `content-type` is absent where the event has no `datacontenttype`.
    """
    names = tuple(event.attributes)
    if len("".join(names)) > _SET_CHARS:
        headers, values = _header_names.__wrapped__(names)
    else:
        headers, values = _header_names(names)
    return list(zip(headers, map(str.encode, values(event.attributes)), strict=True))


@lru_cache(maxsize=256)
def _header_names(names: tuple[str, ...]) -> tuple[tuple[str, ...], Callable[[Mapping[str, str]], Sequence[str]]]:
    """Name the headers of attributes that come together, in their order, and what takes the values from the attributes."""
    ordered = [name for name in names if name != "datacontenttype"]
    headers = [f"ce_{name}" for name in ordered]
    if len(ordered) < len(names):
        ordered.append("datacontenttype")
        headers.append("content-type")
    if len(ordered) > 1:
        return tuple(headers), itemgetter(*ordered)
    return tuple(headers), lambda attributes: [attributes[name] for name in ordered]  # itemgetter of one gives no tuple


def event_of(headers: Sequence[tuple[str, bytes]] | None, value: bytes | None) -> Event:
    """
    Read a record of ours as an event; headers that are not CloudEvents ones are left out.

    Shape:  a null value is an event without data, like an empty one.
    Raises: InvalidEvent with every fault: a structured-mode record too, since nobody of ours writes one.
    """
    attributes: dict[str, str] = {}
    try:
        for header, raw in headers or ():
            name = _attribute_of.get(header)
            if name is None:
                if header[:3] != "ce_":
                    continue
                name = _attribute_name(header)
            text = raw.decode()
            if name in attributes or (not (text.isascii() and text.isprintable()) and rules.text_fault(text)):
                return _examined(headers, value)
            attributes[name] = text
    except (ValueError, AttributeError):
        return _examined(headers, value)
    if (
        attributes.get("specversion") != "1.0"
        or not (attributes.get("id") and attributes.get("source") and attributes.get("type"))
        or ("hops" in attributes and rules.hops_fault(attributes["hops"]))
        or attributes.get("datacontenttype", "")[:23].lower() == "application/cloudevents"
    ):
        return _examined(headers, value)
    return Event(attributes, value or b"")


def record_key(event: Event) -> bytes:
    """Give the key of an event's record: `<tenant>/<partitionkey or event key>`; one key, one order."""
    given = event.attributes.get
    return f"{given('tenantid', '')}/{given('partitionkey') or given('eventkey', '')}".encode()


def _attribute_name(header: str) -> str:
    """Raises: ValueError for a name that is no attribute's, or that travels as `content-type`."""
    name = header[3:]
    if name == "datacontenttype" or rules.name_fault(name):
        raise ValueError(header)
    if len(_attribute_of) < _KNOWN_NAMES and len(name) <= _NAME_CHARS:
        _attribute_of[header] = name
    return name


def _examined(headers: Sequence[tuple[str, bytes]] | None, value: bytes | None) -> Event:
    """Read what the quick way could not vouch for, slowly, and name every fault."""
    attributes: dict[str, str] = {}
    faults: list[Fault] = []
    for header, raw in headers or ():
        if header != "content-type" and not header.startswith("ce_"):
            continue
        where = f"header:{header}"
        name = "datacontenttype" if header == "content-type" else header[3:]
        text, fault = rules.decoded(raw)
        if header == "ce_datacontenttype":
            fault = "is sent as content-type, not as a ce_ header"
        fault = fault or rules.name_fault(name) or rules.text_fault(text)
        if name in attributes:
            fault = fault or "is given twice"
        if fault:
            faults.append(Fault(where, fault))
        attributes[name] = text
    faults += [Fault(_where(name), detail) for name, detail in rules.record_faults(attributes)]
    seen = {fault.pointer: fault for fault in reversed(faults)}
    if seen:
        raise InvalidEvent(*reversed(seen.values()))
    return Event(attributes, value or b"")


def _where(attribute: str) -> str:
    return "header:content-type" if attribute == "datacontenttype" else f"header:ce_{attribute}"
