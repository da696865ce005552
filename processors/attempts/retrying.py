# SPDX-License-Identifier: Apache-2.0
"""
Where executions wait: verdicts of waiting, with the topic and the time.

Is a failed attempt the last one? Where the process's policy has attempts left, a verdict of failure becomes one of waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from bridge.domain import retry
from bridge.domain.execution import Status
from bridge.domain.retry import Tier
from bridge.sdk.process import AnyProcess
from processors.outcomes.verdicts import JOURNEYS, Verdict, Wait
from processors.tables.ordered import Open

RETRIED: Final = frozenset({"exception", "timeout", "retry-later", "crashed", "not-started", "out-of-memory", "invalid-config"})
"""What another attempt may cure; what a process says of an event itself (`Rejected`) or returns wrongly, none will."""

PARKED: Final = "parked"
"""The topic of what waits for an operator: without a time."""

SURPLUS: Final = "surplus"
"""The topic of what is above its tenant's share, or found no child process: the worker takes it from there beside what is new."""


class Retries:
    """The tiers of the installation."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers, self._of_topic = tiers, {_topic(tier): tier for tier in tiers}

    def appeal(self, verdict: Verdict, process: AnyProcess, execution_id: str, attempt: int, now_ms: int) -> Verdict:
        """Give the verdict that stands: the same one, or `pending` with the tier to wait in and the time when that ends."""
        if verdict.status is not Status.FAILED or verdict.code not in RETRIED:
            return verdict
        tier = retry.next_tier(self._tiers, process.retry, attempt, verdict.after_s)
        if tier is None:
            return verdict
        due_ms = retry.due_ms(tier, now_ms, execution_id, attempt)
        return msgspec.structs.replace(verdict, status=Status.PENDING, wait=Wait(_topic(tier), due_ms))

    def behind(self, first: Open, now_ms: int) -> Verdict:
        """
        Give the verdict of an event that may not overtake: it waits in the topic of the first of its line, and comes after it.

        Where that one is back already, the shortest wait will do. Where it waits for its journeys, nobody knows how long: then
        for about as long as that has lasted. And where it is due much sooner than what came last into its topic, a shorter one: a
        topic gives back in the order in which it was filled.
        """
        reason = f"waits for the execution {first.execution_id}"
        if first.topic == JOURNEYS:
            return self.rest((now_ms - first.due_ms) / 1000, reason, now_ms)
        left_s, tier = (first.due_ms - now_ms) / 1000, self._of_topic.get(first.topic)
        if first.due_ms and (tier is None or left_s < tier.seconds / 2):
            return self.rest(left_s, reason, now_ms)
        return Verdict(Status.PENDING, reason=reason, wait=Wait(first.topic, first.due_ms))

    def rest(self, seconds: float, reason: str, now_ms: int) -> Verdict:
        """Give the verdict of an execution that waits so many seconds: in the longest tier that is not longer, or the first."""
        tier = next((one for one in reversed(self._tiers) if one.seconds <= seconds), self._tiers[0])
        return Verdict(Status.PENDING, reason=reason, wait=Wait(_topic(tier), now_ms + round(tier.seconds * 1000)))

    def parked(self, reason: str, topic: str = PARKED) -> Verdict:
        """Give the verdict of an execution that waits without a time: until nothing holds it, or until a lane takes it."""
        return Verdict(Status.PENDING, reason=reason, wait=Wait(topic, 0))


def _topic(tier: Tier) -> str:
    return f"retries.{tier.label}"
