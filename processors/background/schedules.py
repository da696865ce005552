# SPDX-License-Identifier: Apache-2.0
"""
Start runs of workflows on schedule. Every worker of the shared lane does so: a run's id follows from its workflow and its time,
and of two starts of one run the second changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.moments import iso
from bridge.kafka.producer import ANY_PARTITION
from bridge.registry.view import View
from bridge.registry.workflow import WorkflowVersion
from bridge.runs.carried import signal_event
from bridge.workflows.schedules import next_due_ms
from bridge.workflows.signals import Start
from bridge.workflows.triggers import refusal
from processors import clock
from processors.ending import doubt
from processors.stream.outbox import Outbox, Record

LOOK_S: Final = 1.0
BACK_MS: Final = 60_000
"""How far back a worker looks when it begins: what was due while none ran for longer is passed over."""
FEW: Final = 20
"""Schedules whose next time is worked out between two turns of the loop."""


class Next(NamedTuple):
    """When a version of a workflow is due next."""

    version: WorkflowVersion
    at_ms: int


class Schedules:
    """One per worker; on the loop's thread."""

    def __init__(self, registry: View, outbox: Outbox, topic: str) -> None:
        self._registry, self._outbox, self._topic = registry, outbox, topic
        self._generation = -1
        self._next: dict[tuple[str, str, int], Next] = {}

    async def run(self) -> None:
        """Start runs until cancelled."""
        since_ms = clock.now_ms() - BACK_MS
        while True:
            now = clock.now_ms()
            await self._fire(now)
            if self._generation != self._registry.generation:
                self._generation = self._registry.generation
                await self._learn(since_ms)
                await self._fire(now)
            since_ms = now
            await asyncio.sleep(LOOK_S)

    async def _fire(self, now: int) -> None:
        """Start what is due."""
        for key, (version, at_ms) in list(self._next.items()):
            if at_ms <= now:
                if self._registry.active(version.tenant):
                    self._start(version, at_ms, now)
                self._next[key] = _next(version, at_ms)
                await asyncio.sleep(0)

    async def _learn(self, since_ms: int) -> None:
        """Take note of what is scheduled; what was scheduled before keeps its time."""
        found: dict[tuple[str, str, int], Next] = {}
        for tenant in self._registry.tenants():
            for number, version in enumerate(self._registry.workflows.of(tenant.name)):
                if version.workflow is not None and version.workflow.triggers.schedule.enabled:
                    key = version.tenant, version.name, version.number
                    found[key] = self._next.get(key) or _next(version, max(since_ms, version.created_ms))
                if not number % FEW:
                    await asyncio.sleep(0)
        self._next = found

    def _start(self, version: WorkflowVersion, at_ms: int, now: int) -> None:
        tenant, name = version.tenant, version.name
        if refusal(version.workflow, "schedule", {}) is not None:
            return
        run_id = ids.run_id(f"schedule/{tenant}/{name}/{at_ms}", name)
        labels = {"scheduledFor": iso(at_ms)}
        start = Start(
            tenant=tenant, workflow=name, version=version.number, trigger="schedule", initiated_by="schedule", labels=labels
        )
        event = signal_event(tenant, run_id, run_id, start, now)
        self._outbox.send(Record(self._topic, record_key(event), event.data, headers_of(event), ANY_PARTITION), _report)


def _next(version: WorkflowVersion, after_ms: int) -> Next:
    assert version.workflow is not None
    schedule = version.workflow.triggers.schedule
    return Next(version, next_due_ms(schedule.cron, schedule.timezone, after_ms))


def _report(error: Any, _: Any) -> None:
    if error is not None:
        doubt("a scheduled run could not be started", error=error.str())
