# SPDX-License-Identifier: Apache-2.0
"""Which processes get what was read, and what their executions are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bridge.domain import ids
from bridge.hosting.routing import Router as Routing
from bridge.registry.announcing import announced
from bridge.runs.carried import RUNS
from bridge.sdk.process import AnyProcess
from processors.attempts import standins
from processors.attempts.surroundings import Surroundings
from processors.stream.given import Given


class Recipients:
    """The processes of one worker."""

    def __init__(self, around: Surroundings, processes: Iterable[AnyProcess], routing: Routing) -> None:
        self._around, self._routing = around, routing
        self._processes = {process.name: process for process in processes}
        self._wanting = {name: announced(process) for name, process in self._processes.items()}

    def of(self, given: Given, *, signal: bool) -> Iterator[tuple[AnyProcess, str]]:
        """Say who gets it, with the execution's id; a signal goes to the one that applies it."""
        if given.redelivery is not None:
            yield self._again(given, given.redelivery.process, given.redelivery.execution_id)
        elif signal:
            yield self._processes[RUNS], ids.execution_id(given.event.key, RUNS)
        else:
            for name in self._routing.processes_for(given.event.tenant, given.event.type, self._wanting):
                yield self._processes[name], ids.execution_id(given.event.key, name)

    def _again(self, given: Given, name: str, execution_id: str) -> tuple[AnyProcess, str]:
        """
        Say who makes another attempt; whoever is not here or disabled has a stand-in that ends it.

        What belongs into a lane goes there also where its process was disabled: its worker knows the order that hangs on it.
        """
        process = self._processes.get(name)
        if process is None:
            return standins.unknown(name), execution_id
        if self._around.elsewhere(process) or self._routing.enabled(given.event.tenant, name, self._wanting[name]):
            return process, execution_id
        return standins.disabled(name, process.version), execution_id
