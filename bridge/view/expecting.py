# SPDX-License-Identifier: Apache-2.0
"""
Which processes will probably want an event: asked where the router has not decided yet.

The intake shows them as pending, and so does a rebuilt view. Only an expectation: the router decides, from its own plugins.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.hosting.routing import Processes, Router
from bridge.registry.view import View


class Expectation:
    """Answers from memory: the processes that live workers announced, as the tenant has them enabled."""

    def __init__(self, registry: View) -> None:
        self._registry, self._router = registry, Router(registry)
        self._generation = -1
        self._processes: Processes = {}

    def __call__(self, tenant: str, event_type: str) -> Sequence[str]:
        """Name the processes that will probably want a tenant's event of a type."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            announced = (process for worker in self._registry.announced() for process in worker.processes)
            self._processes = {process.name: process for process in announced}
        return self._router.processes_for(tenant, event_type, self._processes)
