# SPDX-License-Identifier: Apache-2.0
"""Is a failed attempt the last one? Where the process's policy has attempts left, a verdict of failure becomes one of waiting."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bridge.domain import retry
from bridge.domain.execution import Status
from bridge.domain.retry import Tier
from bridge.sdk.process import AnyProcess
from processors.ordered import Open
from processors.outputs import Verdict, Wait

RETRIED = frozenset({"exception", "timeout", "retry-later", "crashed", "out-of-memory", "invalid-config"})
"""What another attempt may cure; what a process says of an event itself (`Rejected`) or returns wrongly, none will."""


class Retries:
    """The tiers of the installation."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tiers

    def appeal(self, verdict: Verdict, process: AnyProcess, execution_id: str, attempt: int, now_ms: int) -> Verdict:
        """Give the verdict that stands: the same one, or `pending` with the tier to wait in and the time when that ends."""
        if verdict.status is not Status.FAILED or verdict.code not in RETRIED:
            return verdict
        tier = retry.next_tier(self._tiers, process.retry, attempt, verdict.after_s)
        if tier is None:
            return verdict
        due_ms = retry.due_ms(tier, now_ms, execution_id, attempt)
        return dataclasses.replace(verdict, status=Status.PENDING, wait=Wait(tier.label, due_ms))

    def behind(self, first: Open, now_ms: int) -> Verdict:
        """
        Give the verdict of an event that may not overtake: it waits in the tier of the first of its line and comes back after it.

        Where that one is back already, the shortest wait will do.
        """
        wait = Wait(first.tier, first.due_ms)
        if first.due_ms <= now_ms:
            wait = Wait(self._tiers[0].label, now_ms + round(self._tiers[0].seconds * 1000))
        return Verdict(Status.PENDING, reason=f"waits for the execution {first.execution_id}", wait=wait)
