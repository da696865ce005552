# SPDX-License-Identifier: Apache-2.0
"""
Which processes get an event: those that are enabled for its tenant and whose patterns fit its type.

The worker decides with it, the web expects with it; both ask the registry's view and never each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.domain.patterns import matches

REMEMBERED = 10_000
"""Answers that are kept; tenants can name any event type, so the memory is emptied rather than grown."""


class Enabling(Protocol):
    """A tenant's setting of one process; None: nobody has decided."""

    @property
    def enabled(self) -> bool | None: ...


class Wanting(Protocol):
    """What a process says of itself: the event types that it handles, and whether for tenants of whom nobody has decided."""

    @property
    def patterns(self) -> Sequence[str]: ...

    @property
    def default_enabled(self) -> bool: ...


class Registry(Protocol):
    """The part of the registry's view that routing needs; `generation` grows with every change."""

    @property
    def generation(self) -> int: ...

    def process_of(self, tenant: str, process: str) -> Enabling: ...


Processes = Mapping[str, Wanting]
"""Process name -> what it says of itself."""


class Router:
    """Answers are remembered until the registry changes or other processes are asked about."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}
        self._for: Processes | None = None
        self._generation = -1

    def enabled(self, tenant: str, name: str, process: Wanting) -> bool:
        """Say whether a tenant's events go to a process."""
        decided = self._registry.process_of(tenant, name).enabled
        return process.default_enabled if decided is None else decided

    def processes_for(self, tenant: str, event_type: str, processes: Processes) -> tuple[str, ...]:
        """
        Name the processes that handle an event, in the order of `processes`.

        Shape: hand over the same mapping object as long as nothing in it changed.
        """
        if self._generation != self._registry.generation or self._for is not processes or len(self._known) >= REMEMBERED:
            self._known.clear()
            self._generation, self._for = self._registry.generation, processes
        key = tenant, event_type
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(
                name
                for name, process in processes.items()
                if any(matches(pattern, event_type) for pattern in process.patterns) and self.enabled(tenant, name, process)
            )
        return found
