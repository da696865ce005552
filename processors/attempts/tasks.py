# SPDX-License-Identifier: Apache-2.0
"""Tasks of runs: an event that a run has given to a process, and the signal that tells the run how that ended. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.execution import Execution, Status
from bridge.kafka.producer import ANY_PARTITION
from bridge.runs.carried import ATTEMPT, RUN, TASK, signal_event
from bridge.workflows.signals import TaskEnded
from processors.clock import now_ms
from processors.stream.outbox import Record

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt


def concerns(attempt: Attempt) -> bool:
    """Say whether a run waits for the end of an attempt's execution; not for that of a replay, which it knows nothing of."""
    again = attempt.given.redelivery
    return RUN in attempt.given.event.attributes and not (again is not None and again.replayed_from)


def ended(attempt: Attempt, execution: Execution) -> Record:
    """Give the signal that tells a run how its task has ended; one that was skipped has not done what it was to do."""
    event = attempt.given.event
    well = execution.status is Status.COMPLETED
    signal = TaskEnded(
        task=event.attributes[TASK],
        attempt=int(event.attributes[ATTEMPT]),
        status="succeeded" if well else "failed",
        results={"data": json.loads(execution.data)} if well else {},
        reason=execution.reason,
    )
    key = ids.ended_key(execution.execution_id)
    told = signal_event(event.tenant, event.attributes[RUN], key, signal, now_ms(), execution.correlation_id)
    return Record(attempt.around.topics.signals, record_key(told), told.data, headers_of(told), ANY_PARTITION)
