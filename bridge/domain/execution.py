# SPDX-License-Identifier: Apache-2.0
"""One event through one process: its status, and the fact about it that goes to `bridge.executions`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The FX spelling, everywhere. The last three are final."""

    PENDING = "pending"
    IN_PROGRESS = "in progress"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.SKIPPED})


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record lies in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ResultRef:
    """A result that an execution published, and where it lies."""

    id: str
    type: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Execution:
    """
    The state of one execution after an attempt: the value of one record of `bridge.executions`.

    Times are milliseconds since the epoch; `received_ms` is when Kafka took the event. `data` is what the process saved
    (JSON text), `reason` why it was skipped or failed (`code: message`). `event_position` is the record that caused it. A pending
    execution whose attempt `attempt` has failed waits until `due_ms` for the next one.
    """

    execution_id: str
    event_key: str
    tenant: str
    correlation_id: str
    event_id: str
    event_source: str
    event_type: str
    process: str
    version: str
    status: Status
    attempt: int
    received_ms: int
    started_ms: int
    finished_ms: int | None
    event_position: Position
    data: str = "null"
    reason: str = ""
    worker: str = ""
    results: tuple[ResultRef, ...] = ()
    due_ms: int | None = None
    replayed_from: str = ""
