# SPDX-License-Identifier: Apache-2.0
"""
The part of the registry in memory that the Event Ingress dialect asks on every request: clients by id, event types by key.

Kept by `view`, whose rules of threads hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.decisions.facts import Ref
from bridge.registry.ingress import EventType, OAuthClient
from bridge.registry.objects import Object
from bridge.registry.system_types import SYSTEM_TYPES

NONE: Final[Mapping[str, EventType]] = MappingProxyType({})


class IngressIndex:
    """Follows every change of a client and of an event type."""

    def __init__(self) -> None:
        self._clients: dict[str, OAuthClient] = {}
        self._types: dict[str, Mapping[str, EventType]] = {}

    def client(self, id_: str) -> OAuthClient | None:
        """Give the client of an id, whatever its state."""
        return self._clients.get(id_)

    def clients(self, tenant: str) -> tuple[OAuthClient, ...]:
        """Give a tenant's clients, the oldest first, revoked ones too."""
        found = [one for one in list(self._clients.values()) if one.tenant == tenant]
        return tuple(sorted(found, key=lambda one: (one.created_ms, one.id)))

    def event_type(self, tenant: str, key: str) -> EventType | None:
        """Give the event type of a key: a system-defined one, or one of the tenant's own."""
        found = SYSTEM_TYPES.get(key) or self._types.get(tenant, NONE).get(key)
        return found if found is not None and found.state == "active" else None

    def event_types(self, tenant: str) -> tuple[EventType, ...]:
        """Give the tenant's own event types, by key."""
        found = [one for one in self._types.get(tenant, NONE).values() if one.state == "active"]
        return tuple(sorted(found, key=lambda one: one.key))

    def event_type_keys(self, tenant: str) -> int:
        """Count the keys that the tenant's own event types have had, deleted ones too."""
        return len(self._types.get(tenant, NONE))

    def replace(self, ref: Ref, new: Object | None) -> None:
        """Take an object's new state; None: it is gone, or cannot be read."""
        if ref.kind == "client":
            if isinstance(new, OAuthClient):
                self._clients[ref.id] = new
            else:
                self._clients.pop(ref.id, None)
        elif ref.kind == "eventtype":
            others = {key: one for key, one in self._types.get(ref.tenant, NONE).items() if key != ref.id}
            if isinstance(new, EventType):
                others[ref.id] = new
            self._types[ref.tenant] = others
