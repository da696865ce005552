# SPDX-License-Identifier: Apache-2.0
"""Processes that stand in where a redelivery names one that cannot run, so that its execution ends like any other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bridge.domain.event import Event
from bridge.sdk import Context, Outcome, Process, Rejected, Skipped


class AnyConfig(BaseModel):
    """Takes whatever a tenant has configured."""

    model_config = ConfigDict(extra="allow")


class StandIn(Process[AnyConfig]):
    """Says at once what becomes of every event."""

    events, retry, Config = (), (), AnyConfig

    def __init__(self, name: str, version: str, outcome: Outcome) -> None:
        self.name, self.version, self._outcome = name, version, outcome  # type: ignore[misc]  # each is one of its kind

    async def run(self, event: Event, context: Context[AnyConfig]) -> Outcome:  # noqa: ARG002
        return self._outcome


def unknown(name: str) -> StandIn:
    """Stand in for a process that no plugin of this worker has."""
    why = "no installed plugin has this process; install it, then replay the dead letter"
    return StandIn(name, "-", Rejected("process-unknown", why))


def disabled(name: str, version: str) -> StandIn:
    """Stand in for a process that was disabled for the tenant while an execution of it waited."""
    return StandIn(name, version, Skipped("the process was disabled for the tenant while this execution waited"))
