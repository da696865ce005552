# SPDX-License-Identifier: Apache-2.0
"""
Claim events, go on with claims and end them: each change a durable decision (`bridge.decisions`), of which one wins.

Called by the doors on their loop, and by `bridge.claims.leases` for claims whose holder is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from bridge.claims.facts import Place, digest_of, encode
from bridge.claims.holds import ClaimChange
from bridge.claims.lists import Listed, Lists
from bridge.claims.state import Claim, Move, State, advance, begin, expire
from bridge.decisions.decide import Decisions
from bridge.decisions.holds import Held, Stale
from bridge.domain.errors import Conflict, NotFound, ViewUnavailable

MOST: Final = 1000
"""Transaction keys under which one event can be claimed: all of them are read with it."""
TRIES: Final = 5
"""Changes of one claim by others that may come in between, one after another."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks: a tenant's credential in one environment, and what kept its claims for how long."""

    tenant: str
    environment: str
    credential: str
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Which:
    """The claim that is meant: an event's key and a transaction key."""

    event_key: str
    tx_key: str


class Publisher(Protocol):
    """Where the output of a finished claim goes, before it is recorded as finished."""

    async def publish(self, found: Listed, place: Place, output: str) -> None:
        """Return once Kafka has it. Raises: BrokerUnavailable, TooLarge."""


class Claims:
    """One per web process."""

    def __init__(self, lists: Lists, decisions: Decisions[ClaimChange], publisher: Publisher) -> None:
        self._lists, self._decisions, self._publisher = lists, decisions, publisher

    async def begin(self, holder: Holder, which: Which) -> Listed:
        """
        Claim an event.

        Raises: NotFound; Conflict where somebody has it, or is just about to; Unavailable, after which it may be claimed again
                in a few seconds.
        """
        return await self._change(holder, which, lambda before: begin(before, _move(holder, State.CREATED)), most=MOST)

    async def advance(self, holder: Holder, which: Which, state: State, output: str | None = None) -> Listed:
        """
        Let a holder go on or end; what a finished claim returned is published first.

        Again:  the same end again changes nothing, and is published no second time.
        Raises: NotFound without a claim; Conflict where its time was over or it has ended otherwise; TooLarge; Unavailable.
        """

        def step(before: Claim | None) -> Claim:
            if before is None:
                raise NotFound("No such transaction: it was never begun.")
            return advance(before, _move(holder, state, digest_of(output)))

        try:
            return await self._change(holder, which, step, output if state is State.FINISHED else None)
        except Held as err:
            raise ViewUnavailable("The transaction is just being changed; repeat the request shortly.") from err

    async def expire(self, tenant: str, which: Which) -> bool:
        """Give a claim back if its lease is over; says whether it had to be."""
        found = await self._lists.any_of(tenant, which.event_key)
        if found is None or which.tx_key not in found.claims:
            return False
        before, version = found.claims[which.tx_key]
        if not before.state.held or before.holds(_now_ms()):
            return False
        await self._decide(found, _place(tenant, found, which), expire(before), version, None)
        return True

    async def _change(
        self,
        holder: Holder,
        which: Which,
        step: Callable[[Claim | None], Claim],
        output: str | None = None,
        most: int | None = None,
    ) -> Listed:
        for _ in range(TRIES):
            found = await self._lists.find(holder.tenant, holder.environment, which.event_key)
            before, version = found.claims.get(which.tx_key, (None, 0))
            if before is None and most is not None and len(found.claims) >= most:
                raise Conflict(f"The event has transactions under {most} keys already; more are not kept.")
            after = step(before)
            if after == before:
                return found
            try:
                version = await self._decide(found, _place(holder.tenant, found, which), after, version, output)
            except Stale:
                continue
            return replace(found, claims={**found.claims, which.tx_key: (after, version)})
        raise Conflict("The transaction is being changed by others again and again.")

    async def _decide(self, found: Listed, place: Place, after: Claim, version: int, output: str | None) -> int:
        change = ClaimChange(place.ref, encode(place, after, output), version, 0, place, after)
        first = partial(self._publisher.publish, found, place, output) if output is not None else None
        return await self._decisions.decide(change, first)


def _place(tenant: str, found: Listed, which: Which) -> Place:
    row = found.row
    return Place(tenant, row.environment, row.full_name, found.key, row.created_ms, which.tx_key)


def _move(holder: Holder, state: State, output: bytes = b"") -> Move:
    return Move(state, holder.credential, _now_ms(), holder.lease_ms, output)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
