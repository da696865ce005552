# SPDX-License-Identifier: Apache-2.0
"""
The event: a validated CloudEvent 1.0, as all code between the doors sees it.

`attributes` holds every context attribute as its canonical string (CloudEvents 1.0.2 section 3), in the order they came,
with `datacontenttype` among them and without `data`. `data` holds the producer's own bytes; nothing here re-encodes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RESERVED = frozenset({"tenantid", "eventkey", "hops", "replayedfrom", "flowrun", "flowtask", "flowattempt"})
"""Attributes that only the bridge sets; a producer that sends one is refused."""

MAX_HOPS = 16
"""An event emitted by an execution of an event emitted … may be at most this far from its first cause."""


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent. Equal attributes and bytes are equal events."""

    attributes: Mapping[str, str]
    data: bytes = b""

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def source(self) -> str:
        return self.attributes["source"]

    @property
    def type(self) -> str:
        return self.attributes["type"]

    @property
    def content_type(self) -> str:
        """The `datacontenttype`; an absent one means JSON where there is data (CloudEvents 1.0.2, JSON format 3.1)."""
        return self.attributes.get("datacontenttype", "")

    @property
    def tenant(self) -> str:
        return self.attributes.get("tenantid", "")

    @property
    def key(self) -> str:
        """The event key: our own identity of the event (`bridge.domain.ids.event_key`)."""
        return self.attributes.get("eventkey", "")

    @property
    def correlation_id(self) -> str:
        return self.attributes.get("correlationid", "")

    @property
    def hops(self) -> int:
        return int(self.attributes.get("hops", "0"))

    def json(self) -> Any:
        """Parse the data as JSON. Raises: ValueError where it is not JSON."""
        return json.loads(self.data) if self.data else None
