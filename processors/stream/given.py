# SPDX-License-Identifier: Apache-2.0
"""
What a worker is given: records of `bridge.events` and of `bridge.redeliveries`, read and checked. Pure.

Both give a `Given`; its `record` is the event's own record, also where it comes a second time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge import redeliveries
from bridge.cloudevents.kafka import event_of
from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.event import Event
from bridge.domain.redelivery import Redelivery
from bridge.registry.fields import TENANT_NAME
from bridge.runs.carried import RUNS

PLACE = "recordplace"
"""Attribute that signals get here: `<topic>/<partition>/<offset>` of their record."""
TENANT = re.compile(TENANT_NAME).fullmatch
"""A name is part of keys, which have to be read again."""


@dataclass(frozen=True, slots=True)
class Original:
    """An event's own record, as a redelivery carries it; the names are those of a Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: redeliveries.Headers


class Given(msgspec.Struct, frozen=True):
    """An event for the worker; `redelivery` names the one process that gets it, None: all that match."""

    record: Any
    event: Event
    redelivery: Redelivery | None = None


def of_events(record: Any) -> Given:
    """Read a record of the events topic. Raises: InvalidEvent."""
    event = event_of(record.headers, record.value)
    if not event.key:
        raise InvalidEvent(Fault("header:ce_eventkey", "is missing: every event of the bridge has it"))
    if not TENANT(event.tenant):
        raise InvalidEvent(Fault("header:ce_tenantid", "is not the name of a tenant"))
    return Given(record, event)


def of_signals(record: Any) -> Given:
    """
    Read a record of the signals topic; a signal says where it lies. Raises: InvalidEvent.

    Messages whose journeys have ended come here as well, as redeliveries.
    """
    if redeliveries.is_one(record.headers):
        return of_redeliveries(record)
    event = of_events(record).event
    if not event.attributes.get("partitionkey"):
        raise InvalidEvent(Fault("header:ce_partitionkey", "is missing: it names the run"))
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return Given(record, Event({**event.attributes, PLACE: place}, event.data))


def of_redeliveries(record: Any) -> Given:
    """Read a record of the redeliveries topic. Raises: InvalidEvent."""
    again = redeliveries.redelivery_of(record.headers)
    own = redeliveries.own_headers(record.headers)
    # What it causes goes to the partition that it lies in now; that is its event's, unless somebody moved it by hand.
    original = Original(again.topic, record.partition, again.offset, again.received_ms, record.key, record.value, own)
    event = of_events(original).event
    if again.replayed_from:
        event = Event({**event.attributes, "replayedfrom": again.replayed_from}, event.data)
    if again.process == RUNS:
        event = Event({**event.attributes, PLACE: f"{again.topic}/{record.partition}/{again.offset}"}, event.data)
    return Given(original, event, again)
