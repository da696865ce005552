# SPDX-License-Identifier: Apache-2.0
"""
One attempt of one execution, from its beginning to its record in Kafka.

The order is the promise: results, emitted events, the dead letter or the record that waits for the next attempt are confirmed
first, then the execution's record, and only then is the event's entry finished, so that its offset can be committed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from confluent_kafka import KafkaError

from bridge import metrics
from bridge.domain.execution import ResultRef, Status
from bridge.executions import encode
from bridge.sdk import Context
from bridge.sdk.process import AnyProcess
from processors import records
from processors.clock import now_ms
from processors.ending import doubt
from processors.given import Given
from processors.holding import hold
from processors.lanes import Lane
from processors.ordered import Line, Open
from processors.outbox import Record
from processors.outputs import Cause, Failure, Output, Verdict, convicted, failed, judge
from processors.retrying import RETRIED
from processors.surroundings import Surroundings
from processors.window import Entry, Window

REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD})
"""What the broker says of a record that it will never take, whoever sends it."""


MOST_LIVES = 3
"""So many lives of a worker may end while one execution runs; then it is set aside."""


class Attempt:
    """
    `finished(attempt)` is called on the loop once its record is confirmed; never after the window has died.

    `number` is the attempt's, `made` how many there have been when it ends: one less where it only waits behind another event.
    `suspect`: it may have ended the worker's last life, so it runs apart.
    `successor` is the next attempt of the execution where that has come already, because its record was quicker than ours.
    """

    __slots__ = (
        "_pending",
        "_refusal",
        "_verdict",
        "around",
        "entry",
        "execution_id",
        "finished",
        "given",
        "made",
        "number",
        "process",
        "refs",
        "started_ms",
        "successor",
        "suspect",
        "task",
        "window",
    )

    def __init__(
        self,
        around: Surroundings,
        window: Window,
        entry: Entry,
        given: Given,
        process: AnyProcess,
        execution_id: str,
        finished: Any,
    ) -> None:
        self.around, self.window, self.entry, self.given = around, window, entry, given
        self.process, self.execution_id, self.finished = process, execution_id, finished
        self.number = given.redelivery.attempt if given.redelivery else 1
        self.made = self.number
        self.successor: Attempt | None = None
        self.suspect = False
        self.task: asyncio.Task[None] | None = None
        self.started_ms = 0
        self.refs: list[tuple[int, ResultRef]] = []
        self._pending = 0
        self._refusal: KafkaError | None = None
        self._verdict = Verdict(Status.IN_PROGRESS)

    @property
    def line(self) -> Line | None:
        """Where an ordered process keeps this event in order; None where nothing is kept, as for a replay."""
        record, again = self.given.record, self.given.redelivery
        here = self.process.lane == "shared" or self.around.lane == self.process.name
        if not (self.process.ordered and here) or record.key is None or (again is not None and again.replayed_from):
            return None
        return Line(record.partition, self.process.name, record.key)

    @property
    def lane(self) -> Lane:
        """What this attempt waits for: earlier events of its key in its process; without a key for nothing."""
        return Lane(self.window, self.process.name, self.given.record.key or self.execution_id.encode())

    def follow(self, successor: Attempt) -> None:
        """Let a later attempt begin once this one is recorded; of two the later one."""
        if self.successor is None or self.successor.number < successor.number:
            self.successor = successor

    def begin(self) -> None:
        """Run the process, or let the execution wait where something holds it."""
        around, event, now = self.around, self.given.event, now_ms()
        if (held := hold(self, now)) is not None:
            self.made = self.number - 1
            asyncio.get_running_loop().call_soon(self._end, held)
            return
        self.started_ms = now
        around.projection.started(self.execution_id, partial(records.execution, self, self._verdict))
        context = around.contexts.make(self.process, event, self.execution_id, self.number)
        if isinstance(context, Failure):
            asyncio.get_running_loop().call_soon(self.ended, context)
        else:
            self._call(context)

    def _call(self, context: Context[Any]) -> None:
        caller, journal, event = self.around.caller, self.around.journal, self.given.event
        begun = partial(journal.begin, self.execution_id)
        lives = journal.suspects.get(self.execution_id, 0)
        self.suspect = lives > 0
        if lives >= MOST_LIVES:
            failure = Failure("crashed-worker", f"{lives} lives of the worker have ended while it ran")
            asyncio.get_running_loop().call_soon(self.ended, failure)
        elif self.suspect:
            self.task = caller.call_suspect(self.process, event, context, self.ended, begun)
        else:
            begun()
            self.task = caller.call(self.process, event, context, self.ended)

    def give_up(self) -> None:
        """Stop without a trace: the partition was taken away, and its next owner begins this execution again."""
        if self.task is not None:
            self.task.cancel()
            self.around.journal.end(self.execution_id)
            self.around.breakers.lost(self.given.event.tenant, self.process.name)
        self.around.projection.stopped(self.execution_id)

    def ended(self, outcome: object) -> None:
        """Publish what the outcome asks for, unless the partition was taken away meanwhile."""
        self.around.journal.end(self.execution_id)
        if self.window.alive:
            now = now_ms()
            if self.suspect:
                outcome = convicted(outcome)
            verdict = judge(outcome, Cause(self.given.event, self.process.name, self.execution_id, now))
            self._tell_breaker(verdict, now)
            self._end(self.around.retries.appeal(verdict, self.process, self.execution_id, self.number, now))

    def _tell_breaker(self, verdict: Verdict, now: int) -> None:
        tenant, breakers = self.given.event.tenant, self.around.breakers
        if verdict.code in RETRIED:
            breakers.failed(tenant, self.process.name, verdict.said, now / 1000)
        else:
            breakers.worked(tenant, self.process.name)

    def _end(self, verdict: Verdict) -> None:
        if not self.window.alive:
            return
        ordered, line, wait = self.around.executions.ordered, self.line, verdict.wait
        if line is not None and wait is not None:
            ordered.wait(line, Open(self.execution_id, self.given.record.offset, wait.topic, wait.due_ms))
        else:
            ordered.end(self.execution_id)
        self.around.lanes.leave(self.lane)  # the next one of the lane begins now, and must find the line as it is
        self._publish(verdict)

    def _publish(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self.refs.clear()
        self._refusal = None
        outbox, topics, partition = self.around.outbox, self.around.topics, self.given.record.partition
        self._pending = len(verdict.outputs)
        if verdict.status is Status.FAILED:
            self._pending = 1
            outbox.send(records.dead_letter(self, verdict, now_ms()), partial(self._set_aside, "a dead letter"))
        elif verdict.wait is not None:
            self._pending = 1
            outbox.send(records.waiting(self, verdict, now_ms()), partial(self._set_aside, "a waiting execution"))
        for index, output in enumerate(verdict.outputs):
            topic = topics.events if output.event else topics.results_prefix + self.process.name
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
            self.refs.append((index, ref))
        self._confirmed()

    def _set_aside(self, what: str, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            doubt(f"{what} could not be delivered", error=error.str(), execution=self.execution_id)
        if self._verdict.status is Status.FAILED:
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
        ended = now_ms()
        execution = records.execution(self, self._verdict, ended)
        value = encode(execution)
        record = records.of_execution(self, execution, self._verdict.wait, value, ended)
        self.around.outbox.send(record, partial(self._recorded, value, ended))

    def _recorded(self, value: bytes, ended: int, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            doubt("an execution's record could not be delivered", error=error.str(), execution=self.execution_id)
        around, event, verdict = self.around, self.given.event, self._verdict
        around.executions.remember(self.execution_id, self.made, ended, final=verdict.status.final)
        around.executions.ordered.written(self.execution_id, message.offset())
        correlation = event.correlation_id or event.key
        around.projection.recorded(event.tenant, self.execution_id, correlation, message.offset(), value)
        outcome = known_code(verdict.code) or verdict.status.value
        metrics.EXECUTIONS.labels(self.process.name, outcome if verdict.status.final else "retried").inc()
        metrics.EXECUTION_DURATION.labels(self.process.name).observe((ended - self.started_ms) / 1000)
        if self.given.redelivery is None:
            metrics.END_TO_END.observe(max(0, ended - self.given.record.timestamp) / 1000)
        if self.window.alive:
            self.finished(self)


CODES = frozenset(
    {
        "exception",
        "timeout",
        "crashed",
        "out-of-memory",
        "retry-later",
        "result-too-large",
        "not-serialisable",
        "invalid-outcome",
        "invalid-config",
        "process-unknown",
    }
)


def known_code(code: str) -> str:
    """Bound a metric's label: a process may reject with any code it likes."""
    return code if not code or code in CODES else "rejected"
