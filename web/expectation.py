# SPDX-License-Identifier: Apache-2.0
"""Which processes will probably run an event: what live workers announced, asked before the router has seen the event."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.registry import Registry
from bridge.routing import Router


class Expectation:
    """Answers from memory; what the announcements say is read again only when the registry has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._router = registry, Router(registry)
        self._generation = -1
        self._patterns: dict[str, tuple[str, ...]] = {}

    def __call__(self, tenant: str, event_type: str) -> Sequence[str]:
        """Name the processes that a tenant's event of a type is expected to go through."""
        generation = self._registry.generation
        if generation != self._generation:
            self._patterns = self._announced()
            self._generation = generation
        return self._router.processes_for(tenant, event_type, self._patterns)

    def _announced(self) -> dict[str, tuple[str, ...]]:
        """Workers may announce different patterns for a process while they are being replaced: any of them counts."""
        found: dict[str, tuple[str, ...]] = {}
        for announcement in self._registry.announced():
            for process in announcement.processes:
                found[process.name] = tuple(dict.fromkeys((*found.get(process.name, ()), *process.patterns)))
        return found
