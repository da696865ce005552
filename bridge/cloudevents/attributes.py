# SPDX-License-Identifier: Apache-2.0
"""
What is legal in a CloudEvents 1.0.2 attribute: names, characters, required ones, and the syntax of those with a type.

The bindings call these checks and add where they looked. A check returns what is wrong as a phrase or an empty text; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

REQUIRED = ("specversion", "id", "source", "type")
EVENT_FORMAT_FAULT = "must not be application/cloudevents…: the record would read as a structured event"

NAME = re.compile(r"[a-z0-9]+\Z")
FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(p + 0xFFFE)}{chr(p + 0xFFFF)}" for p in range(0, 0x110000, 0x10000))
    + "]"
)
"""Control characters, surrogates and noncharacters: what section 3.1 takes out of the type String."""


def name_fault(name: str) -> str:
    """Say what is wrong with an attribute's name (section 3.1)."""
    if not NAME.match(name):
        return "is not an attribute name: only the letters a to z and the digits are allowed"
    return "is not an attribute: it names the event's data" if name == "data" else ""


def text_fault(text: str) -> str:
    """Say what is wrong with the characters of an attribute's value."""
    if text.isascii() and text.isprintable():
        return ""
    found = FORBIDDEN.search(text)
    return f"has the forbidden character U+{ord(found[0]):04X} at position {found.start()}" if found else ""


def decoded(raw: bytes | None) -> tuple[str, str]:
    """Give the text of UTF-8 bytes, and what is wrong with them."""
    if raw is None:
        return "", "has no value"
    try:
        return raw.decode(), ""
    except UnicodeDecodeError as err:
        return "", f"is not UTF-8 at byte {err.start}"


def record_faults(attributes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name what makes a record's attributes unreadable: required ones, the version, and those that the bridge computes with."""
    for name in REQUIRED:
        if not attributes.get(name):
            yield name, "is empty" if name in attributes else "is required"
    if attributes.get("specversion", "") not in ("", "1.0"):
        yield "specversion", "must be 1.0"
    if fault := hops_fault(attributes.get("hops", "0")):
        yield "hops", fault
    if is_event_format(attributes.get("datacontenttype", "")):
        yield "datacontenttype", EVENT_FORMAT_FAULT


def hops_fault(text: str) -> str:
    """Say what is wrong with a hop count, which the worker computes with."""
    return "" if len(text) < 10 and text.isascii() and text.isdigit() else "must be a whole number"


def is_event_format(content_type: str) -> bool:
    """Say whether a content type announces a structured event or a batch (HTTP binding section 3, Kafka binding section 3)."""
    return content_type[:23].lower() == "application/cloudevents"
