# SPDX-License-Identifier: Apache-2.0
"""
The process `runs`, which comes with every worker: applies a signal to its run, and asks for what the run does next.

A run is what the process keeps of the key that its signals share; so each signal counts once, in order, whatever is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from bridge import redeliveries
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.moments import iso, moment_ms
from bridge.domain.redelivery import Redelivery
from bridge.registry.view import View
from bridge.runs.carried import ATTEMPT, RUN, RUNS, SOURCE, TASK, TYPE, run_of, signal_event
from bridge.sdk import Completed, Context, Outcome, Process, Rejected, RetryLater
from bridge.topics import REDELIVERIES, SIGNALS
from bridge.workflows.advance import advance
from bridge.workflows.document import Workflow
from bridge.workflows.effects import Answer, Effect, EmitEvent, RunProcess, StartRun, TellRun
from bridge.workflows.journeys import SHIPPED
from bridge.workflows.run import Run, decode, encode
from bridge.workflows.signals import Signal, Start, TaskEnded
from bridge.workflows.signals import decode as read_signal
from bridge.workflows.starting import written
from processors.attempts.standins import AnyConfig
from processors.outcomes.outputs import Made, Output
from processors.stream.given import PLACE


class Runs(Process[AnyConfig]):
    """One per worker."""

    name, version, events, Config = RUNS, "1.0.0", (), AnyConfig
    ordered, state = True, RUNS

    def __init__(self, registry: View, retention_hours: int) -> None:
        """`retention_hours` is how long a run is kept that has ended."""
        self._registry, self._keep_ms = registry, retention_hours * 3_600_000

    async def run(self, event: Event, context: Context[AnyConfig]) -> Outcome:
        """Apply one signal."""
        kept = context.state.kept
        try:
            signal, run = read_signal(event.data), decode(kept) if kept else None
        except ValueError as err:
            return Rejected("invalid-signal", str(err))
        if event.type != TYPE or (isinstance(signal, Start) and signal.tenant != event.tenant):
            return Rejected("invalid-signal", "it is no signal for a run of its tenant")
        of = run or (signal if isinstance(signal, Start) else None)
        if of is None:
            return Completed()
        if self._not_here_yet(event.tenant, of.workflow, of.version):
            return RetryLater(f"version {of.version} of the workflow {of.workflow} is not known to this worker yet")
        return self._advance(event, context, run, self._registry.workflows.of_run(of), signal)

    def _advance(
        self, event: Event, context: Context[AnyConfig], run: Run | None, workflow: Workflow | None, signal: Signal
    ) -> Outcome:
        at_ms = moment_ms(event.attributes["time"])
        step = advance(run_of(event), run, workflow, signal, at_ms)
        if step.forgotten:
            context.state.put_json(b"")
        if step.forgotten or step.run is None or (step.run == run and not step.effects):
            return Completed()
        kept = step.run
        if kept.ended:
            kept = msgspec.structs.replace(kept, next_due_ms=kept.ended_ms + self._keep_ms)
        context.state.put_json(encode(kept))
        making = _Making(self._registry, event, step.run, context.execution_id, at_ms)
        return Made(outputs=tuple(making.outputs_of(step.effects)))

    def _not_here_yet(self, tenant: str, name: str, number: int) -> bool:
        """Say whether the registry of this worker is behind the one that the run was started by."""
        known = self._registry.workflows.versions(tenant, name)
        return number != SHIPPED and (not known or known[-1].number < number)


class _Making:
    """Makes the records of one step's effects; their ids follow from the signal's execution."""

    def __init__(self, registry: View, event: Event, run: Run, execution_id: str, at_ms: int) -> None:
        self._registry, self._event, self._run, self._execution_id, self._at_ms = registry, event, run, execution_id, at_ms

    def outputs_of(self, effects: tuple[Effect, ...]) -> Iterator[Output]:
        """Make them, in their order."""
        for index, effect in enumerate(effects):
            match effect:
                case RunProcess():
                    yield self._task(effect)
                case StartRun():
                    yield self._start(effect, index)
                case EmitEvent():
                    yield self._emitted(effect)
                case TellRun():
                    yield self._signal(effect.run_id, ids.emitted_key(self._execution_id, index), effect.signal)
                case Answer():
                    yield self._answer(effect)

    def _task(self, effect: RunProcess) -> Output:
        more = {RUN: self._run.id, TASK: effect.task, ATTEMPT: str(effect.attempt)}
        event = self._own(effect.id, "flow.task", effect.data, effect.hops, more)
        topic, partition, offset = self._event.attributes[PLACE].rsplit("/", 2)
        redelivery = Redelivery(
            process=effect.process,
            execution_id=ids.execution_id(effect.id, effect.process),
            attempt=1,
            due_ms=0,
            topic=topic,
            partition=int(partition),
            offset=int(offset),
            received_ms=self._at_ms,
        )
        headers = redeliveries.headers_of(headers_of(event), redelivery)
        return Output(effect.id, event.type, record_key(event), headers, event.data, topic=REDELIVERIES.suffix)

    def _start(self, effect: StartRun, index: int) -> Output:
        tenant, parent = self._run.tenant, effect.parent
        version = self._registry.workflows.current(tenant, effect.workflow)
        key = ids.emitted_key(self._execution_id, index)
        if version is None:
            reason = f"There is no workflow {effect.workflow}."
            return self._signal(
                parent.run_id, key, TaskEnded(task=parent.task, attempt=parent.attempt, status="failed", reason=reason)
            )
        start = Start(
            tenant=tenant,
            workflow=effect.workflow,
            version=version.number,
            trigger=effect.trigger,
            initiated_by=self._run.id,
            params=effect.params,
            parent=parent,
            hops=effect.hops,
            correlation_id=self._run.correlation_id,
        )
        return self._signal(effect.id, key, start)

    def _emitted(self, effect: EmitEvent) -> Output:
        more = {"subject": effect.subject} if effect.subject else {}
        event = self._own(effect.id, effect.type, effect.data, effect.hops, more)
        return Output(effect.id, effect.type, record_key(event), headers_of(event), event.data, event)

    def _signal(self, run_id: str, key: str, signal: Signal) -> Output:
        event = signal_event(self._run.tenant, run_id, key, signal, self._at_ms, self._run.correlation_id)
        return Output(key, event.type, record_key(event), headers_of(event), event.data, topic=SIGNALS.suffix)

    def _answer(self, effect: Answer) -> Output:
        """Give the message back to its business process; not among the redeliveries, where what waits for it may be before it."""
        asker = effect.asker
        headers = [*asker.headers, *redeliveries.journeys_header(effect.journeys)]
        value = asker.value.encode()
        topic, partition = SIGNALS.suffix, asker.partition
        return Output(self._run.id, "flow.journeyended", asker.key, headers, value, topic=topic, partition=partition)

    def _own(self, key: str, type_: str, data: Any, hops: int, more: dict[str, str]) -> Event:
        attributes = {
            "specversion": "1.0",
            "id": key,
            "source": f"{SOURCE}/{self._run.workflow}",
            "type": type_,
            "time": iso(self._at_ms),
            "datacontenttype": "application/json",
            "tenantid": self._run.tenant,
            "eventkey": key,
            "correlationid": self._run.correlation_id or self._run.id,
            "causationid": self._run.id,
            "hops": str(hops),
        }
        return Event(attributes | more, written(data))
