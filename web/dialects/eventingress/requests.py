# SPDX-License-Identifier: Apache-2.0
"""What each operation of the document is asked with."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Container
from typing import Final, NamedTuple

from bridge.ingress.messages import Place
from bridge.registry.event_types import MOST_SUBTYPES
from bridge.registry.ingress import EventSubtype, EventType
from bridge.registry.system_types import UPDATE
from web.dialects.eventingress.wire import UUID, Reader

SOURCE_CHARS: Final = 256
CORRELATION_CHARS: Final = 512
KEY_CHARS: Final = 63
NAME_CHARS: Final = 100
TOKEN_CHARS: Final = 200
PAGE: Final = 100
KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
PLACE: Final = re.compile(r"([0-9]{1,16}):(" + UUID.pattern.replace("A-F", "") + ")")


class Sent(NamedTuple):
    """`POST /v1/events`; `payload` is the slice of the body that holds it, texts and `payload` are empty where there is none."""

    event_type: str
    subtype: EventSubtype
    entity_id: str
    source: str
    correlation_id: str
    priority: int | None
    payload: bytes


class Filter(NamedTuple):
    """`POST /v1/events-by-filter-paginated`: times in milliseconds, the end exclusive."""

    since_ms: int
    until_ms: int
    first: int
    after: Place | None


NO_SUBTYPE: Final = EventSubtype(key="", display_name="", business_process="")


def sent(given: Reader, types: Callable[[str], EventType | None]) -> Sent:
    """Read `POST /v1/events`; `types` finds an event type by its key in lower case."""
    event_type, subtype = _subtype(given, types)
    entity_id = given.uuid("entityId")
    if subtype.business_process == UPDATE and given.raw("entityId") in (b"", b'""'):
        given.complain("entityId", f"is required for the business process {UPDATE}", None, "REQUIRED")
    source, correlation_id = given.text("source", SOURCE_CHARS), given.text("correlationId", CORRELATION_CHARS)
    return Sent(event_type, subtype, entity_id, source, correlation_id, given.integer("priority"), given.raw("payload"))


def event_type(given: Reader, tenant: str, processes: Container[str]) -> EventType:
    """Read `POST` and `PUT /v1/event-types`; what a list answers beside that (`isSystemDefined`) is passed over."""
    key, display_name = _key(given), _display_name(given)
    subtypes, seen = [], set[str]()
    for one in given.objects("eventSubtypes", MOST_SUBTYPES):
        subtypes.append(_new_subtype(one, processes, seen))
        one.finish()
    given.raw("isSystemDefined")
    return EventType(tenant=tenant, key=key, display_name=display_name, subtypes=tuple(subtypes))


def filter_(given: Reader) -> Filter:
    """Read `POST /v1/events-by-filter-paginated`."""
    faulty = len(given.faults)
    since_ms, until_ms = given.moment("startDate"), given.moment("endDate")
    if len(given.faults) == faulty and until_ms <= since_ms:
        given.complain("endDate", "must be later than startDate", None)
    pager = given.object("pager")
    first, after = 1, None
    if pager is not None:
        first = pager.integer("first", 1, PAGE, required=True) or 1
        after = _place(pager)
        pager.finish()
    return Filter(since_ms, until_ms, first, after)


def token_of(place: Place) -> str:
    """Write where a page ended, for whoever asks for the next one."""
    return base64.urlsafe_b64encode(f"{place.received_ms}:{place.key}".encode()).decode()


def _subtype(given: Reader, types: Callable[[str], EventType | None]) -> tuple[str, EventSubtype]:
    """Find a subtype by its two keys, whatever their case. Every fault is noted."""
    faulty = len(given.faults)
    type_key = given.text("eventType", KEY_CHARS, required=True).lower()
    key = given.text("eventSubtype", KEY_CHARS, required=True).lower()
    if not type_key:
        return "", NO_SUBTYPE
    found = types(type_key)
    if found is None:
        return given.complain("eventType", "is no event type of this tenant", ("", NO_SUBTYPE), "NOT_FOUND")
    subtype = found.subtype(key)
    if subtype is None and len(given.faults) == faulty:
        given.complain("eventSubtype", f"is no subtype of {found.key}", None, "NOT_FOUND")
    return found.key, subtype or NO_SUBTYPE


def _new_subtype(given: Reader, processes: Container[str], seen: set[str]) -> EventSubtype:
    key, display_name = _key(given), _display_name(given)
    if key and key in seen:
        given.complain("key", "is that of an earlier subtype", None, "DUPLICATE")
    seen.add(key)
    process = given.text("businessProcessType", KEY_CHARS, required=True)
    if process and process not in processes:
        given.complain("businessProcessType", "is no business process that is offered", None, "NOT_FOUND")
    return EventSubtype(key=key, display_name=display_name, business_process=process)


def _key(given: Reader) -> str:
    key = given.text("key", KEY_CHARS, required=True)
    if key and not KEY.fullmatch(key):
        return given.complain("key", "must be lower-case letters, digits, - and _, beginning with a letter or digit", "")
    return key


def _display_name(given: Reader) -> str:
    name = given.text("displayName", NAME_CHARS, required=True)
    if name and (name != name.strip() or not name.isprintable()):
        return given.complain("displayName", "must be text that people can read, without blanks around it", "")
    return name


def _place(pager: Reader) -> Place | None:
    token = pager.text("after", TOKEN_CHARS)
    if not token:
        return None
    try:
        match = PLACE.fullmatch(base64.b64decode(token, b"-_", validate=True).decode())
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        return pager.complain("after", "is no nextToken of an answer", None)
    return Place(int(match[1]), match[2])
