# SPDX-License-Identifier: Apache-2.0
"""
A notice: that something has happened to a message of Event Ingress. As a record of `bridge.notifications`, and as JSON.

Written by the worker, read by the feeds. All notices of a tenant lie in one partition, so one offset says where a feed is.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from bridge.cloudevents.kafka import event_of, headers_of
from bridge.domain.event import Event
from bridge.domain.moments import iso, moment_ms

SUCCESS: Final = "eventingress:success"
FAILED: Final = "eventingress:failed"
STEPS: Final = ("entitydata:created", "entitydata:draftcreated", "entitydata:verified", "journey:instancestarted")
"""What the shipped processes tell of; others may tell of more, as `<source>:<what>`."""

SOURCE, URL, CORRELATION = "/notifications", "relativeurl", "ingresscorrelation"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One notice; a repetition has the same id.

    `payload` is JSON, or nothing. `correlation` is the caller's own text, percent-encoded where it has characters that attributes
    have not; `causation` is the id of what it is about.
    """

    id: str
    tenant: str
    type: str
    url: str
    payload: bytes
    when_ms: int
    correlation: str
    causation: str


def partition_of(tenant: str, partitions: int) -> int:
    """Give the partition of all notices of a tenant."""
    return zlib.crc32(tenant.encode()) % partitions


def event_of_notice(notice: Notice) -> Event:
    """Give a notice as an event."""
    attributes = {
        "specversion": "1.0",
        "id": notice.id,
        "source": SOURCE,
        "type": notice.type,
        "time": iso(notice.when_ms),
        "tenantid": notice.tenant,
        "causationid": notice.causation,
        URL: notice.url,
    }
    if notice.correlation:
        attributes[CORRELATION] = notice.correlation
    if notice.payload:
        attributes["datacontenttype"] = JSON
    return Event(attributes, notice.payload)


def written(notice: Notice) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    """Give a notice's record: key, headers, value."""
    return notice.tenant.encode(), headers_of(event_of_notice(notice)), notice.payload


def read(headers: Sequence[tuple[str, bytes]] | None, value: bytes | None) -> Notice:
    """Read a notice's record. Raises: ValueError (InvalidEvent is none) and KeyError where it is none of ours."""
    return notice_of(event_of(headers, value))


def notice_of(event: Event) -> Notice:
    """Read a notice from an event. Raises: ValueError and KeyError where it is none."""
    given = event.attributes
    return Notice(
        id=event.id,
        tenant=given["tenantid"],
        type=event.type,
        url=given[URL],
        payload=event.data,
        when_ms=moment_ms(given["time"]),
        correlation=given.get(CORRELATION, ""),
        causation=given["causationid"],
    )


def document(notice: Notice) -> dict[str, Any]:
    """Give a notice as pollers get it, in the members and the order of the vendor's contract."""
    return {
        "id": notice.id,
        "tenantId": notice.tenant,
        "eventType": notice.type,
        "relativeUrl": notice.url,
        "payload": msgspec.Raw(notice.payload or b"null"),
        "when": iso(notice.when_ms),
        "correlationId": unquote(notice.correlation) or None,
        "causationId": notice.causation,
    }


def posted(notices: Sequence[Notice], *, batch: bool) -> bytes:
    """
    Give notices as webhooks get them: members begin with capitals, and everything is ASCII.

    Shape: one object; with `batch` a list of them.
    """
    objects = [_object(notice) for notice in notices]
    text = f"[{','.join(objects)}]" if batch else objects[0]
    return NOT_ASCII.sub(_escaped, text).encode()


NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def _object(notice: Notice) -> str:
    members = {name[0].upper() + name[1:]: value for name, value in document(notice).items() if name != "payload"}
    payload = (notice.payload or b"null").decode()
    return f'{json.dumps(members)[:-1]}, "Payload": {payload}}}'


def _escaped(found: re.Match[str]) -> str:
    """Write characters, which can only stand in a text of the JSON, as their escapes."""
    return json.dumps(found.group())[1:-1]
