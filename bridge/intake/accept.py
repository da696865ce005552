# SPDX-License-Identifier: Apache-2.0
"""
The way in: events are accepted here, whichever dialect they came in, and nowhere else.

Every door awaits `Intake.accept`; one intake per process, on one loop. A receipt is given only for what Kafka has confirmed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bridge import logs, topics
from bridge.domain.errors import BrokerUnavailable, Conflict, Fault, InvalidEvent, Quota, TooManyRequests, ViewUnavailable
from bridge.domain.limits import ANSWER_S, Window
from bridge.domain.principal import Principal, Scope
from bridge.domain.receipt import Accepted, Draft, Receipt
from bridge.intake.admission import Admission, Road
from bridge.intake.breaker import Breaker
from bridge.intake.local_limits import LocalLimits
from bridge.intake.stamping import require_distinct, stamp
from bridge.kafka.producer import LoopProducer
from bridge.metrics import EVENTS_DUPLICATE, LIMITER_DEGRADED
from bridge.redis.epoch import ViewGuard
from bridge.redis.gate import Admitted, Clashing, Entrant, Full, Gate, Verdict
from bridge.redis.keys import DONE, read_known
from bridge.redis.pipe import Pipe
from bridge.redis.settlement import Settlement
from bridge.settings import Settings

LOG = logs.get("bridge.intake")

WAIT_S: Final = ANSWER_S - 0.5  # a request whose events are not confirmed by then is answered 503
WRITE: Final = Scope.EVENTS_WRITE  # a member of an enum is looked up by a call
LOOK_S: Final = 0.1  # how often waiting requests are looked through
POLL_S: Final = 0.04  # how often a repetition looks whether the first post has arrived

Windows = Callable[[str], Sequence[Window]]
"""The rate windows of a tenant."""

Expected = Callable[[str, str], Sequence[str]]
"""The processes that will probably run a tenant's event of a type."""


class Intake:
    """
    Accepts events. `windows` and `expected` are asked on every request, so they answer from memory.

    `view_whole` says whether the live view was whole when Redis was last asked.
    """

    def __init__(
        self,
        settings: Settings,
        producer: LoopProducer,
        pipe: Pipe,
        guard: ViewGuard,
        *,
        windows: Windows,
        expected: Expected,
        gate: Gate | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe, self._windows, self._expected = pipe, windows, expected
        self._gate = gate or Gate(pipe, settings)
        self._settlement = Settlement(self._gate, guard, self._loop)
        self._breaker = Breaker()
        self._road = Road(topics.EVENTS.name(settings), producer, self._settlement, self._breaker, self._loop)
        self._refuses = settings.redis.when_down == "refuse"
        self._local = LocalLimits(settings.local_shares)
        self._waiting: deque[Admission] = deque()
        self._owner, self._requests = secrets.token_hex(6), 0
        self._degraded = False
        self.view_whole = False
        pipe.on_connect(partial(self._note, False))
        pipe.on_lost(partial(self._note, True))

    @property
    def degraded(self) -> bool:
        """Whether this process limits on its own (or refuses, by setting), because Redis cannot be asked."""
        return self._degraded or not self._pipe.connected

    @property
    def broker_silent(self) -> bool:
        """Whether the broker has not confirmed anything for a second though requests wait."""
        return self._breaker.open

    async def accept(self, drafts: Sequence[Draft], principal: Principal) -> Accepted:
        """
        Store events in Kafka and return once every one of them is confirmed.

        Shape:  at least one draft; one receipt per draft, in their order.
        Order:  kept per partition key, for requests that follow one another.
        Again:  the same event within `duplicate_window_s` gets an equal receipt, also while the first post is on its way;
                the same id with other content is a conflict. A caller who goes away leaves the events on their way.
        Raises: NotAllowed; InvalidEvent where a batch names an event twice or never fits into a window; TooManyRequests and
                Conflict (nothing was written); TooLarge; BrokerUnavailable (perhaps written: repeat with the same ids);
                ViewUnavailable.
        """
        principal.require(WRITE)
        if len(drafts) > 1:
            require_distinct(drafts)
            _require_fit(len(drafts), self._windows(principal.tenant))
        if not self._breaker.lets_through(self._loop.time()):
            raise BrokerUnavailable("Kafka has not confirmed anything for a second.")
        admission = self._begin(drafts, principal.tenant)
        known, quotas = await admission.entry
        deadline = admission.since + WAIT_S
        receipts = []
        for index, entrant in enumerate(admission.entrants):
            text = known[index]
            receipts.append(_receipt(entrant) if text is None else await self._first_receipt(entrant, text, deadline))
        return Accepted(tuple(receipts), quotas)

    async def close(self, timeout_s: float) -> bool:
        """Wait until nothing is on its way and Redis has been told; says whether that came true in time."""
        deadline = self._loop.time() + timeout_s
        while any(not a.entry.done() for a in self._waiting) or self._settlement.busy:
            if self._loop.time() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def _begin(self, drafts: Sequence[Draft], tenant: str) -> Admission:
        now_ms = time.time_ns() // 1_000_000
        entrants = []
        for draft in drafts:
            expected = self._expected(tenant, draft.attributes["type"])
            entrants.append(Entrant(stamp(draft, tenant), draft.born, now_ms, expected))
        self._requests += 1
        admission = Admission(self._road, entrants, f"{self._owner}x{self._requests}")
        if not self._waiting:
            self._loop.call_later(LOOK_S, self._look)
        self._waiting.append(admission)
        windows = self._windows(tenant)
        self._gate.ask(tenant, windows, entrants, admission.owner, partial(self._decided, admission, tenant, windows))
        return admission

    def _decided(self, admission: Admission, tenant: str, windows: Sequence[Window], verdict: Verdict) -> None:
        if isinstance(verdict, Exception):
            self._note(True, verdict)
            self._decide_alone(admission, tenant, windows)
            return
        if self._degraded:
            self._note(False)
        if isinstance(verdict, Admitted):
            self.view_whole = verdict.view_whole
            admission.send(verdict.known, verdict.quotas)
        elif isinstance(verdict, Full):
            admission.refuse(_too_many(tenant, verdict.quotas, verdict.wait_s, len(admission.entrants)))
        else:
            admission.refuse(_conflict(verdict, len(admission.entrants)))

    def _decide_alone(self, admission: Admission, tenant: str, windows: Sequence[Window]) -> None:
        """Limit within this process; repetitions are not found, and the view will be rebuilt (`Settlement`)."""
        events = len(admission.entrants)
        if self._refuses:
            admission.refuse(ViewUnavailable("Redis cannot be asked, and this server is set to refuse events then."))
            return
        wait_s, quotas = self._local.ask(tenant, windows, events, int(self._loop.time() * 1000))
        if wait_s:
            admission.refuse(_too_many(tenant, quotas, wait_s, events))
        else:
            admission.send((None,) * events, quotas)

    def _note(self, degraded: bool, why: Exception | None = None) -> None:
        if degraded == self._degraded:
            return
        self._degraded = degraded
        LIMITER_DEGRADED.set(degraded)
        if degraded:
            LOG.warning("intake goes on without Redis", reason=str(why or "the connection is lost"), refuses=self._refuses)
        else:
            self._local.clear()
            LOG.info("intake asks Redis again")

    def _look(self) -> None:
        waiting, oldest = self._waiting, self._loop.time() - WAIT_S
        while waiting and (waiting[0].entry.done() or waiting[0].since < oldest):
            admission = waiting.popleft()
            if not admission.entry.done():
                admission.refuse(BrokerUnavailable("Kafka did not confirm the event in time; repeat it with the same id."))
        if waiting:
            self._loop.call_later(LOOK_S, self._look)

    async def _first_receipt(self, entrant: Entrant, text: bytes | None, deadline: float) -> Receipt:
        """Give the receipt of the event's first post, which may still be on its way."""
        while text is not None:
            known = read_known(text)
            if known.event_key != entrant.event.key:
                break
            if known.state == DONE:
                EVENTS_DUPLICATE.inc()
                return Receipt(known.event_key, known.correlation_id, entrant.event.type, known.accepted_ms, duplicate=True)
            if self._loop.time() > deadline:
                break
            await asyncio.sleep(POLL_S)
            text = await self._gate.known(entrant.event)
        raise BrokerUnavailable("The first post of this event is not confirmed; repeat it with the same id.")


def _receipt(entrant: Entrant) -> Receipt:
    given = entrant.event.attributes
    return Receipt(given["eventkey"], given["correlationid"], given["type"], entrant.accepted_ms)


def _require_fit(events: int, windows: Sequence[Window]) -> None:
    """Raises: InvalidEvent where a batch is more than a window ever takes: who sent it again would never come in."""
    for window in windows:
        if events > window.quota > 0:
            few = f"the tenant may send {window.quota} in {window.seconds} s: send fewer at a time"
            raise InvalidEvent(Fault("", f"has {events} events, and {few}"))


def _too_many(tenant: str, quotas: tuple[Quota, ...], wait_s: int, events: int) -> TooManyRequests:
    return TooManyRequests(tenant, tuple(q for q in quotas if q.remaining < events), wait_s)


def _conflict(verdict: Clashing, events: int) -> Conflict:
    if events == 1:
        return Conflict("This source and id were used for an event with other content.")
    members = ", ".join(str(index) for index in verdict.indexes)
    return Conflict(f"Members of the batch (from 0) whose source and id were used for other content: {members}.")
