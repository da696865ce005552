# SPDX-License-Identifier: Apache-2.0
"""
What an attempt leaves in Kafka beside its outputs: the execution's record, and the event set aside or waiting. Pure.

Everything goes to the partition of the event that caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge import redeliveries
from bridge.domain.execution import Execution, Position, ResultRef, Status
from bridge.domain.redelivery import Redelivery, Try
from bridge.topics import SIGNALS
from processors.attempts.letters import letter
from processors.outcomes.verdicts import Verdict, Wait, cut
from processors.stream.outbox import Record
from processors.tables import ordered

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

TRIES = 30
"""Ended attempts that travel with an event; more cannot come from a policy."""
TRY_REASON_BYTES = 300


def execution(attempt: Attempt, verdict: Verdict, ended_ms: int | None = None, refs: Sequence[ResultRef] = ()) -> Execution:
    """Describe the execution: in progress, or as the verdict leaves it at `ended_ms`."""
    event, record, again = attempt.given.event, attempt.given.record, attempt.given.redelivery
    return Execution(
        execution_id=attempt.execution_id,
        event_key=event.key,
        tenant=event.tenant,
        correlation_id=event.correlation_id or event.key,
        event_id=event.id,
        event_source=event.source,
        event_type=event.type,
        process=attempt.process.name,
        version=attempt.process.version,
        status=verdict.status if ended_ms else Status.IN_PROGRESS,
        attempt=attempt.made,
        received_ms=record.timestamp,
        started_ms=attempt.started_ms,
        finished_ms=ended_ms if verdict.status.final else None,
        event_position=Position(record.topic, record.partition, record.offset),
        data=verdict.data,
        reason=verdict.said,
        worker=attempt.around.worker,
        results=tuple(refs),
        due_ms=verdict.wait.until_ms if verdict.wait else None,
        replayed_from=again.replayed_from if again else "",
    )


def of_execution(attempt: Attempt, state: Execution, wait: Wait | None, value: bytes, ended_ms: int) -> Record:
    """Give the record of `bridge.executions`; its headers are what the executions table reads."""
    headers = [
        ("status", state.status.value.encode()),
        ("tenant", state.tenant.encode()),
        ("process", state.process.encode()),
        ("attempt", b"%d" % state.attempt),
    ]
    if attempt.line is not None:
        offset = attempt.given.record.offset
        if wait is not None:
            headers += ordered.Open(state.execution_id, offset, wait.topic, wait.due_ms).headers(attempt.line)
        else:
            headers.append((ordered.OFFSET, b"%d" % offset))
    topic, key = attempt.around.topics.executions, state.execution_id.encode()
    return Record(topic, key, value, headers, attempt.given.record.partition, ended_ms)


def dead_letter(attempt: Attempt, verdict: Verdict, ended_ms: int) -> Record:
    """Set the event aside for good."""
    return letter(
        attempt.given.record,
        attempt.around.topics.dead_letters,
        code=verdict.code,
        reason=verdict.reason,
        worker=attempt.around.worker,
        key=attempt.execution_id,
        process=attempt.process.name,
        version=attempt.process.version,
        attempts=attempt.number,
        tries=tries(attempt, verdict, ended_ms),
    )


def waiting(attempt: Attempt, verdict: Verdict, ended_ms: int) -> Record:
    """Let the event wait in its tier's topic for the next attempt."""
    assert verdict.wait is not None
    record, topic = attempt.given.record, attempt.around.topics.prefix + verdict.wait.topic
    headers = redeliveries.headers_of(record.headers, redelivery(attempt, verdict, ended_ms))
    return Record(topic, record.key, record.value or b"", headers, record.partition)


def redelivery(attempt: Attempt, verdict: Verdict, ended_ms: int) -> Redelivery:
    """Give what travels with an event that waits."""
    wait, record, again = verdict.wait, attempt.given.record, attempt.given.redelivery
    assert wait is not None
    return Redelivery(
        process=attempt.process.name,
        execution_id=attempt.execution_id,
        attempt=attempt.made + 1,
        due_ms=wait.due_ms,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        received_ms=record.timestamp,
        first_failed_ms=(again.first_failed_ms if again else 0) or (ended_ms if verdict.code else 0),
        reason=verdict.said,
        tries=tries(attempt, verdict, ended_ms),
        belated=again is not None and again.belated,
        replayed_from=again.replayed_from if again else "",
        journeys=again.journeys if again else (),
        awaited=attempt.number if wait.topic == SIGNALS.suffix else again.awaited if again else 0,
    )


def tries(attempt: Attempt, verdict: Verdict, ended_ms: int) -> tuple[Try, ...]:
    """Give the attempts that have ended, this one included, oldest first."""
    before = attempt.given.redelivery.tries if attempt.given.redelivery else ()
    if attempt.held:
        return before
    this = Try(attempt.number, attempt.started_ms, ended_ms, cut(verdict.said, TRY_REASON_BYTES))
    return (*before, this)[-TRIES:]
