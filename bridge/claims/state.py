# SPDX-License-Identifier: Apache-2.0
"""
The life of a claim: one consumer's hold on one event under a transaction key. Pure; times and names are handed in.

Every change is a new `Claim`; whoever decides makes it durable before anybody is told (`bridge.claims.claims`). The states and
moves are those of Buildable's transactions (docs/reference/buildable.md).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from bridge.domain.errors import Conflict

LEASE: Final = ""
"""Who gives a claim back whose time is over."""
CHANGES: Final = 40
"""Changes that are kept, the newest; more come only where holders disappear again and again."""


class State(StrEnum):
    """What a claim is in; `NONE` is also what everybody finds who has not claimed yet."""

    NONE = "does-not-exist"
    CREATED = "created"
    PROCESSING = "processing"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in _ENDED

    @property
    def held(self) -> bool:
        return self in _HELD


_ENDED = frozenset({State.FINISHED, State.FAILED})
_HELD = frozenset({State.CREATED, State.PROCESSING})


class Change(msgspec.Struct, frozen=True):
    """The state that was entered, when (ms), and by which credential (its id; `LEASE` where nobody asked for it)."""

    state: State
    at_ms: int
    by: str


class Claim(msgspec.Struct, frozen=True):
    """
    One claim as its newest change leaves it. `changes` are never empty, the oldest first.

    `until_ms` is when a held claim is given back, `output` the digest of what a finished one returned.
    """

    changes: tuple[Change, ...]
    until_ms: int = 0
    output: bytes = b""

    @property
    def state(self) -> State:
        return self.changes[-1].state

    @property
    def began_ms(self) -> int:
        """When the present holder, or the last one, took it."""
        return next(one.at_ms for one in reversed(self.changes) if one.state is State.CREATED)

    def holds(self, now_ms: int) -> bool:
        """Say whether somebody holds it: a lease that is over is so whether or not anybody has said it yet."""
        return self.state.held and now_ms < self.until_ms


class Move(msgspec.Struct, frozen=True):
    """What somebody wants: a state, the digest of an output, by whom, when, and for how long a held claim then holds."""

    state: State
    by: str
    now_ms: int
    lease_ms: int
    output: bytes = b""


def begin(before: Claim | None, move: Move) -> Claim:
    """Claim an event. Raises: Conflict where somebody holds it or has ended it."""
    if before is not None and (before.state.ended or before.holds(move.now_ms)):
        raise Conflict(f"A transaction with this txKey is {before.state.value}.")
    if before is not None and before.state.held:
        before = expire(before)
    changes = before.changes if before is not None else ()
    return Claim(_with(changes, Change(State.CREATED, move.now_ms, move.by)), move.now_ms + move.lease_ms)


def advance(before: Claim, move: Move) -> Claim:
    """
    Let the holder go on, or end; equal to `before` where it says the same again of a claim that has ended.

    Raises: Conflict for a claim that nobody holds any more, that has ended otherwise, or that would go back.
    """
    if before.state.ended:
        if before.state is move.state and before.output == move.output:
            return before
        raise Conflict(f"The transaction is {before.state.value}; it cannot be changed any more.")
    if not before.holds(move.now_ms):
        raise Conflict("The transaction's time is over, and its event is offered again; begin it anew.")
    if before.state is State.PROCESSING and move.state is State.CREATED:
        raise Conflict("The transaction is processing; it cannot go back to created.")
    if move.state.ended:
        return Claim(_with(before.changes, Change(move.state, move.now_ms, move.by)), 0, move.output)
    until_ms = max(before.until_ms, move.now_ms + move.lease_ms)
    if before.state is move.state:
        return Claim(before.changes, until_ms)
    return Claim(_with(before.changes, Change(move.state, move.now_ms, move.by)), until_ms)


def expire(before: Claim) -> Claim:
    """Give a held claim back, as of the moment at which its time was over."""
    return Claim(_with(before.changes, Change(State.NONE, before.until_ms, LEASE)))


def _with(changes: tuple[Change, ...], change: Change) -> tuple[Change, ...]:
    return (*changes, change)[-CHANGES:]
