# SPDX-License-Identifier: Apache-2.0
"""
Circuit breakers: a process that fails everything of a tenant rests, and is tried with one event at a time until that works.

Pure, on the worker's loop. Only failing pairs are kept. Nothing is lost while one is open: executions wait in a retry tier, and
no attempt of theirs is spent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge import logs
from bridge.domain.event import Event
from bridge.notifications.deliveries import WEBHOOK, webhook_of
from bridge.registry.objects import AnnouncedBreaker

FIRST_REST_S = 5.0
LONGEST_REST_S = 300.0
UNTRIED_S = 2 * LONGEST_REST_S

LOG = logs.get("processors.breakers")


def circuit_of(process: str, event: Event) -> str:
    """Name what fails or works as one: a process, but each webhook by itself."""
    return f"{WEBHOOK} {webhook_of(event)}" if process == WEBHOOK else process


@dataclass(slots=True)
class Failing:
    """What is known of a failing pair; `until` is when the next probe may go (0: the breaker is closed)."""

    failures: int = 0
    reason: str = ""
    rest_s: float = 0.0
    until: float = 0.0
    probing: bool = False


class Breakers:
    """`most` failures in a row, without any success, open the breaker of a tenant's process; 0: never."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failing: dict[tuple[str, str], Failing] = {}

    def rest(self, tenant: str, process: str, now: float) -> tuple[float, str] | None:
        """
        Say how long an execution has to wait (seconds) and why; None: it may run.

        Where a probe is due, the one who asks is the probe.
        """
        found = self._failing.get((tenant, process))
        if found is None or not found.until:
            return None
        if now >= found.until and not found.probing:
            found.probing = True
            return None
        why = f"circuit breaker: {found.failures} attempts in a row have failed, the last with {found.reason}"
        return max(found.until - now, 0.0), why

    def failed(self, tenant: str, process: str, reason: str, now: float) -> None:
        """Count a failed attempt."""
        found = self._failing.setdefault((tenant, process), Failing())
        found.failures += 1
        found.reason = reason
        if self._most and found.failures >= self._most and (found.probing or not found.until):
            if not found.until:
                LOG.warning("A process fails everything and rests", process=process, tenant=tenant, reason=reason)
            found.probing = False
            found.rest_s = min(2 * found.rest_s, LONGEST_REST_S) or FIRST_REST_S
            found.until = now + found.rest_s

    def worked(self, tenant: str, process: str) -> None:
        """Note an attempt that did not fail."""
        found = self._failing.pop((tenant, process), None)
        if found is not None and found.until:
            LOG.info("A process works again", process=process, tenant=tenant, failures=found.failures)

    def lost(self, tenant: str, process: str) -> None:
        """Note that an attempt was given up without an outcome: if it was the probe, another one may go."""
        if (found := self._failing.get((tenant, process))) is not None:
            found.probing = False

    def resting(self, now: float) -> Iterator[AnnouncedBreaker]:
        """Give what rests; what has not been tried for long is paused, or is another worker's now."""
        for (tenant, process), one in self._failing.items():
            if one.until > max(now - UNTRIED_S, 0):
                yield AnnouncedBreaker(tenant, process, one.failures, one.reason)
