# SPDX-License-Identifier: Apache-2.0
"""
What a producer's attributes must keep to, whichever mode brought them: the rules of CloudEvents 1.0.2 and our own few.

The HTTP binding and the JSON format call it with canonical texts and say where each attribute stood. All faults come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from bridge.cloudevents import attributes as rules
from bridge.cloudevents import syntax
from bridge.domain.event import RESERVED
from bridge.domain.limits import ATTRIBUTE_CHARS, ATTRIBUTES, CORRELATION_CHARS

NON_EMPTY = frozenset({*rules.REQUIRED, "subject", "time", "datacontenttype", "dataschema", "partitionkey", "correlationid"})
"""Present means not empty (section 3.1; partitioning extension). Other extension attributes may be empty texts."""


def _content_type_fault(text: str) -> str:
    return syntax.media_type_fault(text) or (rules.EVENT_FORMAT_FAULT if rules.is_event_format(text) else "")


_SYNTAX: Mapping[str, Callable[[str], str]] = {
    "source": syntax.uri_reference_fault,
    "dataschema": syntax.uri_fault,
    "time": syntax.time_fault,
    "datacontenttype": _content_type_fault,
}
_LIMITS = {"correlationid": CORRELATION_CHARS}
LOOKED_AT = frozenset({"specversion", *_SYNTAX, *_LIMITS})
"""Where a text that is neither empty nor long may be wrong all the same."""
REPEATED = frozenset({"specversion", "source", "type", "datacontenttype", "dataschema"})
"""What the same producer sends with the same value again and again: looked at once."""
_SHORT = 256


def attribute_faults(attributes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """
    Name what is wrong with a producer's attributes, as (attribute, phrase).

    Order: as the attributes came, then the missing ones. An attribute has one fault at most.
    """
    if len(attributes) > ATTRIBUTES:
        yield "", f"has {len(attributes)} attributes; the limit is {ATTRIBUTES}"
        return
    for name, text in attributes.items():
        if name in REPEATED and len(text) <= _SHORT:
            fault = _seen_fault(name, text)
        else:
            fault = rules.name_fault(name) or value_fault(name, text)
        if fault:
            yield name, fault
    for name in rules.REQUIRED:
        if name not in attributes:
            yield name, "is required"


def value_fault(name: str, text: str) -> str:
    """Say what is wrong with the value of one attribute, whose name is in order."""
    if name in RESERVED:
        return "is set by the bridge and must not be sent"
    if not text:
        return "must not be empty" if name in NON_EMPTY else ""
    limit = _LIMITS.get(name, ATTRIBUTE_CHARS)
    if len(text) > limit:
        return f"has {len(text)} characters; the limit is {limit}"
    if fault := rules.text_fault(text):
        return fault
    if name == "specversion" and text != "1.0":
        return "must be 1.0"
    check = _SYNTAX.get(name)
    return check(text) if check else ""


_seen_fault = lru_cache(maxsize=4096)(value_fault)
