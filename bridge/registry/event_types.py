# SPDX-License-Identifier: Apache-2.0
"""Use cases for a tenant's event types: create, replace, delete. System-defined ones stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridge.decisions.facts import Ref
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.registry.changes import Changes
from bridge.registry.ingress import EventSubtype, EventType
from bridge.registry.system_types import SYSTEM_TYPES

MOST_TYPES = 200
MOST_SUBTYPES = 100
MOST_KEYS = 1000
"""Every process holds all of them in memory, also the keys of deleted ones: their records say that they are deleted."""


async def create_event_type(changes: Changes, new: EventType) -> None:
    """
    Make an event type; a deleted one's key is free again.

    Raises: Conflict where the key is taken, InvalidValue, and what decisions raise.
    """
    if new.key in SYSTEM_TYPES or changes.registry.ingress.event_type(new.tenant, new.key) is not None:
        raise Conflict(f"There is an event type {new.key} already.")
    if len(changes.registry.ingress.event_types(new.tenant)) >= MOST_TYPES:
        raise InvalidValue(f"A tenant has at most {MOST_TYPES} event types of its own.")
    version, before = changes.registry.held(Ref("eventtype", new.tenant, new.key))
    if before is None and changes.registry.ingress.event_type_keys(new.tenant) >= MOST_KEYS:
        raise InvalidValue(f"A tenant's event types have at most {MOST_KEYS} keys; take one again that a deleted type had.")
    _check(new.subtypes)
    await changes.put(new, version)


async def replace_event_type(changes: Changes, new: EventType) -> None:
    """
    Replace an event type, its subtypes as a whole.

    Raises: NotFound, InvalidValue also for a system-defined one, Conflict, and what decisions raise.
    """
    if new.key in SYSTEM_TYPES:
        raise InvalidValue("System-defined event type cannot be updated.")
    _, version = _find(changes, new.tenant, new.key)
    _check(new.subtypes)
    await changes.put(new, version)


async def delete_event_type(changes: Changes, tenant: str, key: str) -> None:
    """
    Delete an event type; what was sent under it stays as it is.

    Raises: NotFound, InvalidValue for a system-defined one, Conflict, and what decisions raise.
    """
    if key in SYSTEM_TYPES:
        raise InvalidValue("System-defined event type cannot be deleted.")
    found, version = _find(changes, tenant, key)
    await changes.put(msgspec.structs.replace(found, state="deleted", subtypes=()), version)


def _find(changes: Changes, tenant: str, key: str) -> tuple[EventType, int]:
    version, found = changes.registry.held(Ref("eventtype", tenant, key))
    if not isinstance(found, EventType) or found.state == "deleted":
        raise NotFound("There is no event type of this key.")
    return found, version


def _check(subtypes: Sequence[EventSubtype]) -> None:
    if not 1 <= len(subtypes) <= MOST_SUBTYPES or len({one.key for one in subtypes}) != len(subtypes):
        raise InvalidValue(f"An event type has 1 to {MOST_SUBTYPES} subtypes, each with a key of its own.")
