# SPDX-License-Identifier: Apache-2.0
"""
What an attempt has led to, on its way into Kafka.

The order is the promise: results, emitted events, the dead letter or the record that waits are confirmed first, then the journeys
that it begins, then what the process keeps, then the notice of its outcome, then the execution's record, and only then is the
event's entry finished, so that its offset can be committed.

An execution that is only held, and goes on somewhere else at once, is recorded before the record that waits: whoever goes on with
it must find it recorded, or its end would be followed by our `pending`. If we die in between, the event is held again.
One that goes into its process's own lane is not recorded at all: only that lane's worker knows whether it has ended there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from bridge import metrics
from bridge.domain.execution import Execution, ResultRef, Status
from bridge.domain.view import waiting
from bridge.executions import decode, encode
from bridge.kafka.producer import ANY_PARTITION
from bridge.notifications.deliveries import WEBHOOK, webhook_of
from bridge.summaries import summarise
from processors.attempts import messages, notices, records, tasks
from processors.attempts.telling import Telling
from processors.clock import now_ms
from processors.ending import doubt
from processors.outcomes.codes import known_code
from processors.outcomes.outputs import Output
from processors.outcomes.verdicts import JOURNEYS, Verdict, Wait, failed
from processors.stream.outbox import Record, Report

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD})
"""What the broker says of a record that it will never take, whoever sends it."""


class Delivery:
    """One per attempt that has ended; it calls `attempt.finished` at the end, unless the window has died."""

    __slots__ = ("_attempt", "_pending", "_refs", "_refusal", "_verdict")

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._pending = 0
        self._refs: list[tuple[int, ResultRef]] = []
        self._refusal: KafkaError | None = None
        self._verdict = Verdict(Status.IN_PROGRESS)

    def publish(self, verdict: Verdict) -> None:
        """Send everything that a verdict asks for."""
        attempt, around = self._attempt, self._attempt.around
        self._verdict, self._refusal = verdict, None
        if attempt.elsewhere:
            self._let_wait(self._forwarded)
            return
        self._refs.clear()
        steps = [*notices.steps(attempt, verdict)]
        self._pending = len(verdict.outputs) + len(steps)
        if verdict.status is Status.FAILED:
            self._pending = 1
            around.outbox.send(records.dead_letter(attempt, verdict, now_ms()), self._dead)
        elif verdict.wait is not None and verdict.start is None and not attempt.held:
            self._pending = 1
            self._let_wait(self._confirmed)
        for index, output in enumerate(verdict.outputs):
            around.outbox.send(self._record(output), partial(self._output_sent, index, output))
        for step in steps:
            Telling(attempt, step, self._confirmed).begin()
        if not self._pending:
            self._begin_journeys()

    def _record(self, output: Output) -> Record:
        topics, name = self._attempt.around.topics, self._attempt.process.name
        if output.topic:
            return Record(topics.prefix + output.topic, output.key, output.value, output.headers, output.partition)
        topic = topics.events if output.event else topics.results_prefix + name
        own = output.event is not None and "partitionkey" in output.event.attributes
        partition = ANY_PARTITION if own else self._attempt.given.record.partition
        return Record(topic, output.key, output.value, output.headers, partition)

    def _output_sent(self, index: int, output: Output, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            if error.code() not in REFUSED or error.fatal():
                doubt("a result could not be delivered", error=error.str(), execution=self._attempt.execution_id)
            self._refusal = error
        elif output.event is not None:
            projection = self._attempt.around.projection
            projection.emitted(output.event, message.timestamp()[1], message.partition(), message.offset())
        elif not output.topic:
            ref = ResultRef(output.id, output.type, message.topic(), message.partition(), message.offset())
            self._refs.append((index, ref))
        self._confirmed()

    def _dead(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            doubt("a dead letter could not be delivered", error=error.str(), execution=self._attempt.execution_id)
        metrics.DEAD_LETTERS.labels(known_code(self._verdict.code)).inc()
        self._confirmed()

    def _let_wait(self, then: Callable[[], None]) -> None:
        def confirmed(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                doubt("a waiting execution could not be delivered", error=error.str(), execution=self._attempt.execution_id)
            then()

        self._attempt.around.outbox.send(records.waiting(self._attempt, self._verdict, now_ms()), confirmed)

    def _forwarded(self) -> None:
        """Tell the view alone: a record would lie behind the end where the event is forwarded for a second time."""
        attempt, event = self._attempt, self._attempt.given.event
        again = records.redelivery(attempt, self._verdict, now_ms())
        summary = summarise(event, attempt.given.record.timestamp)
        attempt.around.projection.waits(waiting(summary, again, attempt.given.record.partition))
        self._finished()

    def _confirmed(self) -> None:
        self._pending -= 1
        if self._pending or not self._attempt.window.alive:
            return
        if self._refusal is not None:
            self._attempt.stand(None)  # where it was to wait for something, it does not any more
            self.publish(failed("result-too-large", f"Kafka refuses a result: {self._refusal.str()}"))
        else:
            self._begin_journeys()

    def _begin_journeys(self) -> None:
        """Begin them once all that was published before is there: what they lead to may come at once."""
        if self._verdict.start is None:
            self._write()
        else:
            self._attempt.around.outbox.send(self._record(self._verdict.start), self._journeys_begun)

    def _journeys_begun(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            doubt("a journey could not be begun", error=error.str(), execution=self._attempt.execution_id)
        if self._attempt.window.alive:
            self._write()

    def _write(self) -> None:
        ended, attempt = now_ms(), self._attempt
        execution = records.execution(attempt, self._verdict, ended, [ref for _, ref in sorted(self._refs, key=_index)])
        value = encode(execution)
        record = records.of_execution(attempt, execution, self._verdict.wait, value, ended)
        end = partial(self._end, execution, record, partial(self._recorded, value, ended))
        if self._verdict.kept is None:
            end()
        else:
            attempt.around.states.write(attempt, self._verdict.kept, value, end)

    def _end(self, execution: Execution, record: Record, recorded: Report) -> None:
        """Send the execution's record, after its outcome was told to those who wait for it: a run, or the sender of a message."""
        attempt, final = self._attempt, execution.status.final
        if attempt.silent and execution.status is Status.COMPLETED:
            self._pass_over()
            return
        then: Callable[[], None] = partial(attempt.around.outbox.send, record, recorded)
        if final and messages.concerns(attempt):
            then = Telling(attempt, notices.outcome(attempt, execution), then).begin
        if final and tasks.concerns(attempt):
            attempt.around.outbox.send(tasks.ended(attempt, execution), partial(self._signalled, then))
        else:
            then()

    def _signalled(self, then: Callable[[], None], error: KafkaError | None, _: Any) -> None:
        if error is not None:
            doubt("a run could not be told of its task", error=error.str(), execution=self._attempt.execution_id)
        if self._attempt.window.alive:
            then()

    def _pass_over(self) -> None:
        """Finish without a record: what has been changed is the state, and that is known."""
        self._attempt.around.projection.stopped(self._attempt.execution_id)
        self._measure(now_ms())
        self._finished()

    def repeat(self, value: bytes) -> None:
        """Send the record of an execution whose results and state Kafka has."""
        attempt, execution = self._attempt, decode(value)
        ended = execution.finished_ms or now_ms()
        wait = None if execution.status.final else Wait(JOURNEYS, ended)
        self._verdict, attempt.started_ms = Verdict(execution.status, wait=wait), execution.started_ms
        attempt.stand(wait)
        record = records.of_execution(attempt, execution, wait, value, ended)
        self._end(execution, record, partial(self._recorded, value, ended))

    def _recorded(self, value: bytes, ended: int, error: KafkaError | None, message: Any) -> None:
        attempt, verdict = self._attempt, self._verdict
        execution_id, event, around = attempt.execution_id, attempt.given.event, attempt.around
        if error is not None:
            doubt("an execution's record could not be delivered", error=error.str(), execution=execution_id)
        around.executions.remember(execution_id, attempt.made, ended, final=verdict.status.final)
        around.executions.ordered.written(execution_id, message.offset(), message.timestamp()[1])
        correlation = event.correlation_id or event.key
        around.projection.recorded(event.tenant, execution_id, correlation, message.offset(), value)
        if attempt.process.name == WEBHOOK:
            around.projection.posted(event.tenant, webhook_of(event), execution_id, ended)
        self._measure(ended)
        if not attempt.window.alive:
            return
        if attempt.held:
            self._let_wait(self._finished)
        elif verdict.wait is not None and verdict.wait.topic == JOURNEYS and attempt.process.state:
            attempt.linger()
        else:
            attempt.finished(attempt)

    def _finished(self) -> None:
        if self._attempt.window.alive:
            self._attempt.finished(self._attempt)

    def _measure(self, ended: int) -> None:
        attempt, verdict = self._attempt, self._verdict
        name, outcome = attempt.process.name, known_code(verdict.code) or verdict.status.value
        if attempt.started_ms:
            awaits = verdict.wait is not None and verdict.wait.topic == JOURNEYS
            _count(name, outcome if verdict.status.final else "awaits" if awaits else "retried").inc()
            _duration(name).observe((ended - attempt.started_ms) / 1000)
        if attempt.given.redelivery is None and verdict.status.final:
            metrics.END_TO_END.observe(max(0, ended - attempt.given.record.timestamp) / 1000)


@lru_cache(maxsize=1024)
def _count(process: str, outcome: str) -> Any:
    return metrics.EXECUTIONS.labels(process, outcome)


@lru_cache(maxsize=1024)
def _duration(process: str) -> Any:
    return metrics.EXECUTION_DURATION.labels(process)


def _index(ref: tuple[int, ResultRef]) -> int:
    return ref[0]
