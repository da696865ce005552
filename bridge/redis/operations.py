# SPDX-License-Identifier: Apache-2.0
"""
Facts as the operations that `scripts/project.lua` takes.

The projection (live) and the rebuild (from Kafka) both write the view through these, so that both write the same. Pure.
"""

from __future__ import annotations

from bridge.domain.event import Event
from bridge.domain.execution import Execution
from bridge.domain.ids import execution_id
from bridge.domain.view import EventSummary
from bridge.redis.keys import BEGUN, BEGUN_OF_EVENT, Keys, event_member, execution_member, list_member, pointer
from bridge.redis.pipe import Argument
from bridge.summaries import encode

Operation = tuple[Argument, ...]

KEPT_DELIVERIES = 20
"""Of each webhook, the last ones."""


def recorded(keys: Keys, tenant: str, name: str, correlation_id: str, offset: int, value: bytes, forget_s: int) -> Operation:
    """The record of the execution `name` lies at this offset of its partition; `value` is the record's own."""
    where = keys.execution(tenant, name)
    return (b"R", where, offset, forget_s, value, keys.correlation(tenant, correlation_id), execution_member(name))


def begun(keys: Keys, execution: Execution, value: bytes, forget_s: int, *, of_event: bool = False) -> Operation:
    """
    An attempt has begun, or the execution waits in a lane, and has no record yet; `value` is the execution's JSON.

    `of_event`: it began from the event's own record, so nothing goes on with it once the router has finished with the event.
    """
    name, tenant = execution.execution_id, execution.tenant
    cid = keys.correlation(tenant, execution.correlation_id)
    mark = BEGUN_OF_EVENT if of_event else BEGUN
    return (b"S", keys.execution(tenant, name), execution.attempt, forget_s, mark, value, cid, execution_member(name))


def expected(keys: Keys, summary: EventSummary, process: str, forget_s: int) -> Operation:
    """The router has not reached the event, and this process will probably want it."""
    name = execution_id(summary.key, process)
    where = keys.execution(summary.tenant, name)
    cid = keys.correlation(summary.tenant, summary.correlation_id)
    return (b"X", where, forget_s, pointer(summary.key, process), cid, execution_member(name))


def stored(keys: Keys, summary: EventSummary, partition: int, offset: int, forget_s: int) -> Operation:
    """An event's record lies there; one that was born here is found by its key, which is its id too."""
    born = summary.id == summary.key
    return (
        b"E",
        keys.event(summary.tenant, summary.key),
        partition,
        offset,
        summary.accepted_ms,
        forget_s,
        encode(summary),
        keys.correlation(summary.tenant, summary.correlation_id),
        event_member(summary.key),
        b"" if born else keys.id(summary.tenant, summary.source, summary.id),
        summary.key,
        summary.correlation_id,
    )


def posted(keys: Keys, tenant: str, webhook: str, name: str, at_ms: int, forget_s: int) -> Operation:
    """The execution `name` has posted to a webhook, or tried to."""
    return (b"W", keys.webhook(tenant, webhook), at_ms, name, KEPT_DELIVERIES, forget_s)


def kept(keys: Keys, state: str, tenant: str, key: str, version: int, value: bytes) -> Operation:
    """What processes keep of a tenant's key under a state, as JSON; nothing where they keep nothing any more."""
    return (b"K", keys.state(tenant, state, key), version, value)


def listed(keys: Keys, event: Event, field: str, where: str, created_ms: int, keep_s: int, row: bytes) -> Operation:
    """
    A confirmed event is in the list at `where`, whose reader finds its row in a field of the event's entry.

    Shape:  `keep_s` is how long events are shown.
    Raises: ValueError for an event key that is no UUID.
    """
    name, member = keys.event(event.tenant, event.key), list_member(event.key)
    return (b"B", name, field, where, member, created_ms, created_ms - keep_s * 1000, created_ms // 1000 + keep_s, row)


def passed(place: int | str, next_offset: int) -> Operation:
    """The router has finished all records of a partition before this offset, and what became of them is in the view."""
    return (b"P", place, next_offset)
