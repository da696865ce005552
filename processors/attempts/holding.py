# SPDX-License-Identifier: Apache-2.0
"""
Why an attempt may not begin here and now: the process has its own lane, an earlier event is to be waited for, the process is
paused, its breaker is open, or the tenant has more in flight than its share. Pure.

Whatever holds it, the execution waits in a topic, costs no attempt, and its status says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from processors.attempts.retrying import SURPLUS
from processors.outcomes.verdicts import Verdict

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt


def hold(attempt: Attempt, now_ms: int) -> Verdict | None:
    """Give the verdict of an attempt that has to wait; None where it may begin."""
    around, name, tenant = attempt.around, attempt.process.name, attempt.given.event.tenant
    if attempt.elsewhere:
        return around.retries.parked("waits in its own lane", f"lanes.{name}")
    line = attempt.line
    if line is not None and (first := around.executions.ordered.ahead(line, attempt.given.record.offset)) is not None:
        return around.retries.behind(first, now_ms)
    if (pause := around.registry.paused(tenant, name)) is not None:
        return around.retries.parked(f"paused: {pause.reason}" if pause.reason else "paused")
    if (shares := attempt.shares) is not None and shares.over(tenant):
        return around.retries.parked("waits for its tenant's share", SURPLUS)
    # The last question: whoever is let through may be the probe, and has to run.
    if (rest := around.breakers.rest(*attempt.circuit, now_ms / 1000)) is not None:
        return around.retries.rest(*rest, now_ms)
    return None


def aside(attempt: Attempt, reason: str) -> Verdict:
    """
    Give the verdict of an attempt that was let through and found no place: it waits with what is above its tenant's share.

    From a retry tier it would come back to the places that retries and webhooks need. A lane has nobody else to keep waiting.
    """
    lane = attempt.around.lane
    return attempt.around.retries.parked(reason, f"lanes.{lane}" if lane else SURPLUS)
