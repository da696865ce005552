# SPDX-License-Identifier: Apache-2.0
"""What is to be replayed: a mode, and filters over the events of a span of time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.domain.ids import replay_plan
from bridge.domain.patterns import matches


class Mode(StrEnum):
    """Which executions: those that failed last, those that never were, or all."""

    FAILED_ONLY = "failed-only"
    UNPROCESSED = "unprocessed"
    FORCE = "force"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    Events that Kafka took at or after `since_ms` and before `until_ms`, through the filters that are not empty.

    `type` is a dotted pattern. `to` is the topic that gets copies of the events, empty: their processes get them again.
    """

    mode: Mode
    since_ms: int
    until_ms: int
    type: str = ""
    tenant: str = ""
    process: str = ""
    to: str = ""

    @property
    def name(self) -> str:
        """The plan's name where nobody gives it one: the same question has the same name."""
        return replay_plan(self.mode, self.since_ms, self.until_ms, self.type, self.tenant, self.process, self.to)

    def meant(self, tenant: str, event_type: str, taken_ms: int) -> bool:
        """Say whether an event of this kind is meant."""
        return (
            self.since_ms <= taken_ms < self.until_ms
            and self.tenant in ("", tenant)
            and (not self.type or matches(self.type, event_type))
        )
