# SPDX-License-Identifier: Apache-2.0
"""
The events that can be claimed, as the live view lists them: those that name an environment, a platform and a label.

The row of an event is what a list shows without asking Kafka: its names, and the producer's own bytes. Written by the door once
Kafka has the event, by the worker when it comes to it, and by the rebuild; all through here, so that all write the same.
"""

from __future__ import annotations

import msgspec

from bridge.domain.event import Event
from bridge.redis import operations
from bridge.redis.keys import Keys, list_member
from bridge.redis.operations import Operation

ENVIRONMENTS = frozenset({"test", "live"})
FIELD = "b"
"""Of the event's entry in the live view: its row."""
ENVIRONMENT, PLATFORM, LABEL = "environment", "platform", "label"


class Row(msgspec.Struct, frozen=True, array_like=True):
    """An event in a list. `created_ms` is the time of its record in Kafka."""

    environment: str
    platform: str
    label: str
    name: str
    created_ms: int

    @property
    def full_name(self) -> str:
        return full_name(self.platform, self.label, self.name)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Row).decode


def full_name(platform: str, label: str, name: str) -> str:
    """Give the name that is unique within an environment; only the event's own name may have dots."""
    return f"{platform}.{label}.{name}"


def row_of(event: Event, accepted_ms: int) -> Row | None:
    """Give an event's row; None where it is in no list, as what cannot be shown as text, or is no event of ours."""
    given = event.attributes
    if given.get(ENVIRONMENT) not in ENVIRONMENTS or not (given.get(PLATFORM) and given.get(LABEL)):
        return None
    try:
        list_member(event.key)
        event.data.decode()
    except ValueError:
        return None
    return Row(given[ENVIRONMENT], given[PLATFORM], given[LABEL], given["type"], accepted_ms)


def listed(keys: Keys, event: Event, row: Row, keep_s: int) -> Operation:
    """Say for `scripts/project.lua` that an event is in the list of its name; `keep_s` is how long events are shown."""
    where = keys.list(event.tenant, row.environment, row.full_name)
    return operations.listed(keys, event, FIELD, where, row.created_ms, keep_s, _encode(row) + b"\n" + event.data)


def read(body: bytes) -> tuple[Row, bytes]:
    """Read what the view keeps of a listed event: its row and its data."""
    row, _, data = body.partition(b"\n")
    return _decode(row), data
