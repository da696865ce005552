# SPDX-License-Identifier: Apache-2.0
"""
Tenants share a worker fairly: what one has in flight above its share is set aside durably and worked off beside the rest.

Otherwise a tenant whose processes are slow would fill the worker, and everybody else's events would wait behind its own. Room
that nobody uses is lent: a tenant may have as much in flight above its share as is free. So one that is busy alone has half of
the worker, two have a third each, and whoever comes finds at least its share.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from processors.stream.room import Room

MOST_SHARES = 10
"""With more tenants than that the shares do not become smaller: they are seldom busy all at once."""


class Tenants(Protocol):
    """The part of the registry's view that says who shares."""

    @property
    def generation(self) -> int: ...

    def tenants(self) -> tuple[object, ...]: ...


class Shares:
    """Counts executions in flight by tenant, of a topic and of those that share its room."""

    def __init__(self, registry: Tenants, room: Room, topic: str) -> None:
        self._registry, self._room, self._topic = registry, room, topic
        self._held: Counter[str] = Counter()
        self._generation, self._share = -1, 0

    @property
    def share(self) -> int:
        """How many executions a tenant may have in flight; the only tenant has all of them."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._share = self._room.places(self._topic) // min(max(1, len(self._registry.tenants())), MOST_SHARES)
        return self._share

    def enter(self, tenant: str) -> None:
        """Count one more execution."""
        self._held[tenant] += 1

    def leave(self, tenant: str) -> None:
        """Count one less."""
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]

    def over(self, tenant: str) -> bool:
        """Say whether a tenant has more in flight than its share, and than what is free."""
        return self._held[tenant] > max(self.share, self._room.free(self._topic))
