# SPDX-License-Identifier: Apache-2.0
"""What a look-up in the live view answers: an event with what became of it, and the tree of one correlation id."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.domain.execution import Execution, Position, Status
from bridge.domain.redelivery import Redelivery

UNCONFIRMED_S = 30
"""A reservation whose record Kafka never confirmed is shown for this many seconds, then never again."""


@dataclass(frozen=True, slots=True)
class EventSummary:
    """
    What the view keeps of an accepted event: its identity, never its data.

    Texts are empty where the event has no such attribute. `accepted_ms` is the time of its record in Kafka, in milliseconds
    since the epoch; `size` counts the bytes of the data.
    """

    key: str
    tenant: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    content_type: str
    correlation_id: str
    causation_id: str
    hops: int
    accepted_ms: int
    size: int


@dataclass(frozen=True, slots=True)
class EventView:
    """
    One event and its executions, the oldest start first, expected ones (pending, attempt 0) last.

    `position` is None until Kafka has confirmed the event. `routed` says that the router has finished with it, so that no
    further process will begin it.
    """

    summary: EventSummary
    position: Position | None
    routed: bool
    executions: tuple[Execution, ...]

    @property
    def settled(self) -> bool:
        """Whether every execution of the event has its final status."""
        return self.routed and all(execution.status.final for execution in self.executions)


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything that one correlation id ties together, events in the order of their acceptance."""

    correlation_id: str
    events: tuple[EventSummary, ...]
    executions: tuple[Execution, ...]


def expected(summary: EventSummary, execution_id: str, process: str, position: Position) -> Execution:
    """Make the execution that a process is expected to have of an event which the router has not reached."""
    return Execution(
        execution_id=execution_id,
        event_key=summary.key,
        tenant=summary.tenant,
        correlation_id=summary.correlation_id,
        event_id=summary.id,
        event_source=summary.source,
        event_type=summary.type,
        process=process,
        version="",
        status=Status.PENDING,
        attempt=0,
        received_ms=summary.accepted_ms,
        started_ms=0,
        finished_ms=None,
        event_position=position,
    )


def waiting(summary: EventSummary, given: Redelivery, partition: int) -> Execution:
    """Make the execution that waits in its process's own lane, as its record there tells it."""
    made = expected(summary, given.execution_id, given.process, Position(given.topic, partition, given.offset))
    return replace(made, attempt=given.attempt - 1, reason=given.reason, replayed_from=given.replayed_from)


def in_order(executions: list[Execution]) -> tuple[Execution, ...]:
    """Sort executions: begun ones by their start, expected ones last, each with a stable tie-break."""
    return tuple(sorted(executions, key=lambda e: (e.attempt == 0, e.started_ms, e.process, e.execution_id)))
