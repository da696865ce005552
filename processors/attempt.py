# SPDX-License-Identifier: Apache-2.0
"""
One attempt of one execution, from its beginning to its record in Kafka.

The order is the promise: results, emitted events or the dead letter are confirmed first, then the execution's record, and only
then is the event's entry finished, so that its offset can be committed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError

from bridge import metrics
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, ResultRef, Status
from bridge.executions import encode
from bridge.redis.projection import Projection
from bridge.sdk.process import AnyProcess
from processors.calling import Caller
from processors.contexts import Contexts
from processors.ending import doubt
from processors.lanes import Lane, Lanes
from processors.letters import letter
from processors.outbox import Outbox, Record
from processors.outputs import Cause, Failure, Output, Verdict, failed, judge
from processors.tables import ExecutionsTable
from processors.window import Entry, Window

REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD})
"""What the broker says of a record that it will never take, whoever sends it."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics that attempts write to."""

    events: str
    executions: str
    dead_letters: str
    results_prefix: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all attempts of a worker share."""

    topics: Topics
    worker: str
    outbox: Outbox
    caller: Caller
    contexts: Contexts
    lanes: Lanes[Attempt]
    executions: ExecutionsTable
    projection: Projection


class Attempt:
    """`finished(attempt)` is called on the loop once its record is confirmed; never after the window has died."""

    __slots__ = (
        "_pending",
        "_refs",
        "_refusal",
        "_verdict",
        "around",
        "entry",
        "event",
        "execution_id",
        "finished",
        "number",
        "process",
        "record",
        "started_ms",
        "task",
        "window",
    )

    def __init__(
        self,
        around: Surroundings,
        window: Window,
        entry: Entry,
        record: Any,
        event: Event,
        process: AnyProcess,
        execution_id: str,
        finished: Any,
        number: int = 1,
    ) -> None:
        self.around, self.window, self.entry, self.record, self.event = around, window, entry, record, event
        self.process, self.execution_id, self.finished, self.number = process, execution_id, finished, number
        self.task: asyncio.Task[None] | None = None
        self.started_ms = 0
        self._pending = 0
        self._refs: list[tuple[int, ResultRef]] = []
        self._refusal: KafkaError | None = None
        self._verdict = Verdict(Status.IN_PROGRESS)

    @property
    def lane(self) -> Lane:
        """What this attempt waits for: earlier events of its key in its process; without a key for nothing."""
        return Lane(self.window, self.process.name, self.record.key or self.execution_id.encode())

    def begin(self) -> None:
        """Run the process."""
        around = self.around
        self.started_ms = now_ms()
        around.projection.started(self.execution_id, self.describe)
        context = around.contexts.make(self.process, self.event, self.execution_id, self.number)
        if isinstance(context, Failure):
            asyncio.get_running_loop().call_soon(self.ended, context)
        else:
            self.task = around.caller.call(self.process, self.event, context, self.ended)

    def give_up(self) -> None:
        """Stop without a trace: the partition was taken away, and its next owner begins this execution again."""
        if self.task is not None:
            self.task.cancel()
        self.around.projection.stopped(self.execution_id)

    def ended(self, outcome: object) -> None:
        """Publish what the outcome asks for, unless the partition was taken away meanwhile."""
        if self.window.alive:
            self.around.lanes.leave(self.lane)
            self._publish(judge(outcome, Cause(self.event, self.process.name, self.execution_id, now_ms())))

    def _publish(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._refs.clear()
        self._refusal = None
        outbox, partition = self.around.outbox, self.record.partition
        self._pending = len(verdict.outputs)
        if verdict.status is Status.FAILED:
            self._pending = 1
            outbox.send(self._letter(verdict), self._letter_sent)
        for index, output in enumerate(verdict.outputs):
            topic = self.around.topics.events if output.event else self.around.topics.results_prefix + self.process.name
            record = Record(topic, output.key, output.value, output.headers, partition)
            outbox.send(record, partial(self._output_sent, index, output))
        if not self._pending:
            self._write()

    def _output_sent(self, index: int, output: Output, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            if error.code() not in REFUSED or error.fatal():
                doubt("a result could not be delivered", error=error.str(), execution=self.execution_id)
            self._refusal = error
        elif output.event is not None:
            self.around.projection.emitted(output.event, message.timestamp()[1], message.partition(), message.offset())
        else:
            ref = ResultRef(output.id, output.type, message.topic(), message.partition(), message.offset())
            self._refs.append((index, ref))
        self._confirmed()

    def _letter_sent(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            doubt("a dead letter could not be delivered", error=error.str(), execution=self.execution_id)
        metrics.DEAD_LETTERS.labels(known_code(self._verdict.code)).inc()
        self._confirmed()

    def _confirmed(self) -> None:
        self._pending -= 1
        if self._pending or not self.window.alive:
            return
        if self._refusal is not None:
            self._publish(failed("result-too-large", f"Kafka refuses a result: {self._refusal.str()}"))
        else:
            self._write()

    def _write(self) -> None:
        finished = now_ms()
        execution = self.describe(finished)
        value = encode(execution)
        headers = [
            ("status", execution.status.value.encode()),
            ("tenant", execution.tenant.encode()),
            ("process", execution.process.encode()),
        ]
        topic, key = self.around.topics.executions, self.execution_id.encode()
        record = Record(topic, key, value, headers, self.record.partition, finished)
        self.around.outbox.send(record, partial(self._recorded, value, finished))

    def _recorded(self, value: bytes, finished: int, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            doubt("an execution's record could not be delivered", error=error.str(), execution=self.execution_id)
        around, event = self.around, self.event
        around.executions.finish(self.execution_id, finished)
        correlation = event.correlation_id or event.key
        around.projection.recorded(event.tenant, self.execution_id, correlation, message.offset(), value)
        outcome = known_code(self._verdict.code) or self._verdict.status.value
        metrics.EXECUTIONS.labels(self.process.name, outcome).inc()
        metrics.EXECUTION_DURATION.labels(self.process.name).observe((finished - self.started_ms) / 1000)
        metrics.END_TO_END.observe(max(0, finished - self.record.timestamp) / 1000)
        if self.window.alive:
            self.finished(self)

    def _letter(self, verdict: Verdict) -> Record:
        return letter(
            self.record,
            self.around.topics.dead_letters,
            code=verdict.code,
            reason=verdict.reason,
            worker=self.around.worker,
            key=self.execution_id,
            process=self.process.name,
            version=self.process.version,
            attempts=self.number,
        )

    def describe(self, finished_ms: int | None = None) -> Execution:
        """Give the execution as it stands."""
        verdict, event, record = self._verdict, self.event, self.record
        return Execution(
            execution_id=self.execution_id,
            event_key=event.key,
            tenant=event.tenant,
            correlation_id=event.correlation_id or event.key,
            event_id=event.id,
            event_source=event.source,
            event_type=event.type,
            process=self.process.name,
            version=self.process.version,
            status=verdict.status if finished_ms else Status.IN_PROGRESS,
            attempt=self.number,
            received_ms=record.timestamp,
            started_ms=self.started_ms,
            finished_ms=finished_ms,
            event_position=Position(record.topic, record.partition, record.offset),
            data=verdict.data,
            reason=f"{verdict.code}: {verdict.reason}" if verdict.code else verdict.reason,
            worker=self.around.worker,
            results=tuple(ref for _, ref in sorted(self._refs, key=lambda one: one[0])),
        )


CODES = frozenset(
    {"exception", "timeout", "retry-later", "result-too-large", "not-serialisable", "invalid-outcome", "invalid-config"}
)


def known_code(code: str) -> str:
    """Bound a metric's label: a process may reject with any code it likes."""
    return code if not code or code in CODES else "rejected"


def now_ms() -> int:
    """Give the time in milliseconds since the epoch."""
    return int(time.time() * 1000)
