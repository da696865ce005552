# SPDX-License-Identifier: Apache-2.0
"""
One attempt of one execution: whether it may begin, its run, and what its outcome means.

What comes of it goes to Kafka by `processors.attempts.delivery`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from bridge.domain.execution import Status
from bridge.domain.limits import OUTPUTS
from bridge.domain.redelivery import Journey
from bridge.sdk import Context, Rejected
from bridge.sdk.process import AnyProcess
from bridge.sdk.state import NO_STATE, State
from processors.attempts import journeys, records, suspects
from processors.attempts.breakers import circuit_of
from processors.attempts.delivery import Delivery
from processors.attempts.holding import aside, hold
from processors.attempts.lanes import Lane, order_name
from processors.attempts.retrying import RETRIED
from processors.attempts.shares import Shares
from processors.attempts.succession import Succession
from processors.attempts.surroundings import Surroundings
from processors.clock import now_ms
from processors.outcomes.outputs import Cause
from processors.outcomes.verdicts import Failure, NotBegun, Verdict, Wait, judge, keeping, said
from processors.stream.given import Given
from processors.stream.window import Entry, Window
from processors.tables.ordered import Line, Open

IN_PROGRESS = Verdict(Status.IN_PROGRESS)


class Attempt(Succession):
    """
    `number` is the attempt's; where it only waits behind another event, `made` is one less in the end.

    `lane` is what it waits for: earlier events of its key in its process; without a key for nothing. `suspect`: it may have ended
    earlier lives of the worker, so it runs apart.
    """

    __slots__ = (
        "around",
        "begun",
        "entry",
        "execution_id",
        "given",
        "journeys",
        "lane",
        "number",
        "process",
        "started_ms",
        "state",
        "suspect",
        "task",
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
        self.number = given.redelivery.attempt if given.redelivery else 1
        super().__init__(window, self.number, finished)
        self.around, self.entry, self.given, self.process, self.execution_id = around, entry, given, process, execution_id
        place = given.record.partition if process.state else window
        self.lane = Lane(place, order_name(process), given.record.key or execution_id.encode())
        self.state: State = NO_STATE
        self.journeys: tuple[Journey, ...] | None = None
        self.suspect = False
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.started_ms = 0

    @property
    def held(self) -> bool:
        """Whether it only waits, and is no attempt made."""
        return self.made < self.number

    @property
    def elsewhere(self) -> bool:
        """Whether it belongs into the process's own lane, and this is not the worker of that."""
        return self.around.elsewhere(self.process)

    @property
    def silent(self) -> bool:
        """Whether it leaves no record where it completes: a signal, of which the run itself tells."""
        return self.given.redelivery is None and self.given.record.topic == self.around.topics.signals

    @property
    def circuit(self) -> tuple[str, str]:
        """What its breaker is about: the tenant, and the process or webhook."""
        return self.given.event.tenant, circuit_of(self.process.name, self.given.event)

    @property
    def line(self) -> Line | None:
        """Where an ordered process keeps this event in order; None where nothing is kept, as for a replay."""
        if not self.process.ordered:
            return None
        record, again = self.given.record, self.given.redelivery
        if self.elsewhere or record.key is None or (again is not None and again.replayed_from):
            return None
        return Line(record.partition, self.lane.process, record.key)

    @property
    def waits(self) -> bool:
        """Whether it has yet to begin: others are before it in its lane, or hold every place to run in."""
        return not self.begun or (self.task is not None and self.around.caller.waits(self.task))

    @property
    def alive(self) -> bool:
        """Whether the partition is still ours."""
        return self.window.alive

    @property
    def shares(self) -> Shares | None:
        """The room that tenants share for such an event; None: what was set aside is worked off in its order."""
        return self.around.shares.get(self.window.topic)

    def enter_share(self) -> None:
        """Count for the tenant's share of the worker."""
        if (shares := self.shares) is not None:
            shares.enter(self.given.event.tenant)

    def leave_share(self) -> None:
        """Count no more for the tenant's share."""
        if (shares := self.shares) is not None:
            shares.leave(self.given.event.tenant)

    @property
    def journeys_ended(self) -> bool:
        """Whether it is a message's attempt after its journeys."""
        return self.given.redelivery is not None and bool(self.given.redelivery.journeys)

    def begin(self) -> None:
        """Run the process, or let the execution wait where something holds it."""
        around, now, self.begun = self.around, now_ms(), True
        if self.process.state and around.states.applied(self):
            self.task = around.caller.begin(self._again())
            return
        if (held := hold(self, now)) is not None:
            self.made = self.number - 1
            asyncio.get_running_loop().call_soon(self._end, held)
            return
        self.started_ms = now
        if not self.silent:  # it may leave no record, and then nothing would ever take the status back
            begun = partial(records.execution, self, IN_PROGRESS)
            around.projection.started(self.execution_id, begun, of_event=self.given.redelivery is None)
        self.state = around.states.of(self)
        context = self._context()
        if isinstance(context, Failure):
            asyncio.get_running_loop().call_soon(self.ended, context)
        else:
            suspects.call(self, context)

    def _context(self) -> Context[Any] | Failure:
        try:
            self.journeys = journeys.of(self)
        except Exception as err:  # noqa: BLE001  the edge: triggers are what tenants write, and nothing of that may end a worker
            return Failure("exception", f"the message's journeys cannot be told: {said(err)}")
        return self.around.contexts.make(self)

    async def _again(self) -> None:
        """Record an execution that has changed its state already: the worker before may have died in between."""
        recorded = None if self.silent else await self.around.states.recorded(self)
        if not self.window.alive:
            return
        self.around.states.tell(self)
        if recorded is None:
            self.stand(None)
            self.finished(self)
        else:
            Delivery(self).repeat(recorded)

    def give_up(self) -> None:
        """Stop without a trace: the partition was taken away, and its next owner begins this execution again."""
        self.leave_share()
        self.linger_no_more()
        if self.task is not None:
            self.task.cancel()
            journal = self.around.journal
            (journal.keep if self.execution_id in journal.suspects else journal.end)(self.execution_id)
            self.around.breakers.lost(*self.circuit)
        self.around.projection.stopped(self.execution_id)

    def ended(self, outcome: object) -> None:
        """Publish what the outcome asks for, unless the partition was taken away meanwhile."""
        if isinstance(outcome, NotBegun):
            self._set_aside(outcome.reason)
            return
        if not self.window.alive:  # its note has ended with the window
            return
        now = now_ms()
        if self.suspect:
            outcome = suspects.convicted(outcome, self.around.journal.story(self.execution_id))
        first = OUTPUTS if self.journeys_ended else 0
        verdict = judge(outcome, Cause(self.given.event, self.process.name, self.execution_id, now, first))
        if verdict.status is Status.PENDING:
            verdict = journeys.awaiting(self, verdict, now)
        keeps = isinstance(outcome, Rejected) and outcome.keep
        if self.state.changed and (keeps or verdict.status in (Status.COMPLETED, Status.PENDING)):
            verdict = keeping(verdict, self.state.kept)
        self._tell_breaker(verdict, now)
        verdict = verdict if isinstance(outcome, Rejected) else self._appeal(verdict, now)
        suspects.close(self, verdict)
        self._end(verdict)

    def _set_aside(self, reason: str) -> None:
        """Let it wait in Kafka as if it had been held: nothing of it has run."""
        if not self.suspect:  # whoever is suspected stays so
            self.around.journal.end(self.execution_id)
        self.around.breakers.lost(*self.circuit)
        self.made, self.started_ms = self.number - 1, 0
        self._end(aside(self, reason))

    def _appeal(self, verdict: Verdict, now: int) -> Verdict:
        """Let another attempt be made, if the policy has one left; after journeys it begins anew."""
        again = self.given.redelivery
        number = self.number - again.awaited if again is not None else self.number
        return self.around.retries.appeal(verdict, self.process, self.execution_id, number, now)

    def stand(self, wait: Wait | None) -> None:
        """Let later events of an ordered process's key wait while this execution does; without a wait not any more."""
        ordered, line = self.around.executions.ordered, self.line
        if line is not None and wait is not None:
            ordered.wait(line, Open(self.execution_id, self.given.record.offset, wait.topic, wait.due_ms))
        else:
            ordered.end(self.execution_id)

    def _tell_breaker(self, verdict: Verdict, now: int) -> None:
        if verdict.code in RETRIED:
            self.around.breakers.failed(*self.circuit, verdict.said, now / 1000)
        else:
            self.around.breakers.worked(*self.circuit)

    def _end(self, verdict: Verdict) -> None:
        if not self.window.alive:
            return
        self.stand(verdict.wait)
        if not self.process.state:
            self.around.lanes.leave(self.lane)  # the next one of the lane begins now, and must find the line as it is
        Delivery(self).publish(verdict)
