# SPDX-License-Identifier: Apache-2.0
"""
Which business processes are offered, by the names that event types give them: the shipped ones, and what live workers announce.

So the web knows them without having the plugins.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.registry.system_types import SHIPPED_PROCESSES
from bridge.registry.view import View


class BusinessProcesses:
    """Answers from memory."""

    def __init__(self, registry: View) -> None:
        self._registry = registry
        self._generation = -1
        self._offered: Mapping[str, str] = {}

    def __call__(self) -> Mapping[str, str]:
        """Give the name that people see of every business process, by name."""
        generation = self._registry.generation
        if self._generation != generation:
            announced = (process for worker in self._registry.announced() for process in worker.processes)
            found = {process.name: process.title or process.name for process in announced if process.business_process}
            self._offered, self._generation = dict(sorted({**found, **SHIPPED_PROCESSES}.items())), generation
        return self._offered
