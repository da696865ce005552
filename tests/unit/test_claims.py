# SPDX-License-Identifier: Apache-2.0
"""The life of a claim, against a model that knows only who holds what until when; and its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.claims.packed import pack, unpack
from bridge.claims.state import CHANGES, LEASE, Change, Claim, Move, State, advance, begin, expire
from bridge.domain.errors import Conflict

ONE, TWO = "0123456789ab", "ba9876543210"
LEASE_MS = 100
TAKEN = Claim((Change(State.CREATED, 10, ONE),), 110)


def move(state: State, now_ms: int, by: str = ONE, output: bytes = b"") -> Move:
    return Move(state, by, now_ms, LEASE_MS, output)


class Life(RuleBasedStateMachine):
    """One event's claim under one key, by two consumers, while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.claim: Claim | None = None
        self.now_ms = 1_000
        self.holder_until = 0  # of the model: until when somebody holds it
        self.working = False
        self.end: tuple[State, bytes] | None = None

    def held(self) -> bool:
        return self.end is None and self.now_ms < self.holder_until

    @rule(ms=st.integers(1, 250))
    def time_goes_on(self, ms: int) -> None:
        self.now_ms += ms

    @rule(by=st.sampled_from([ONE, TWO]))
    def somebody_claims(self, by: str) -> None:
        if self.held() or self.end:
            with pytest.raises(Conflict):
                begin(self.claim, move(State.CREATED, self.now_ms, by))
            return
        self.claim = begin(self.claim, move(State.CREATED, self.now_ms, by))
        self.holder_until, self.working = self.now_ms + LEASE_MS, False

    @precondition(lambda self: self.claim is not None)
    @rule(state=st.sampled_from([State.CREATED, State.PROCESSING]))
    def somebody_goes_on(self, state: State) -> None:
        assert self.claim is not None
        if not self.held() or (self.working and state is State.CREATED):
            with pytest.raises(Conflict):
                advance(self.claim, move(state, self.now_ms))
            return
        self.claim = advance(self.claim, move(state, self.now_ms))
        self.holder_until, self.working = self.now_ms + LEASE_MS, self.working or state is State.PROCESSING

    @precondition(lambda self: self.claim is not None)
    @rule(state=st.sampled_from([State.FINISHED, State.FAILED]), output=st.sampled_from([b"", b"12345678"]))
    def somebody_ends_it(self, state: State, output: bytes) -> None:
        assert self.claim is not None
        if self.end == (state, output):
            assert advance(self.claim, move(state, self.now_ms, output=output)) == self.claim
        elif self.held():
            self.claim = advance(self.claim, move(state, self.now_ms, output=output))
            self.end = state, output
        else:
            with pytest.raises(Conflict):
                advance(self.claim, move(state, self.now_ms, output=output))

    @precondition(lambda self: self.claim is not None and self.claim.state.held and not self.held())
    @rule()
    def its_time_is_noticed(self) -> None:
        assert self.claim is not None
        self.claim = expire(self.claim)

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        if self.claim is None:
            return
        assert self.claim.holds(self.now_ms) == self.held()
        assert self.claim.state.ended == (self.end is not None)
        times = [change.at_ms for change in self.claim.changes]
        assert times == sorted(times)
        assert len(times) <= CHANGES
        assert unpack(pack(self.claim, 7)) == (self.claim, 7)


TestLife = Life.TestCase


def test_a_claim_that_is_given_back_says_so_and_can_be_taken_again() -> None:
    gone = expire(TAKEN)
    assert gone.changes[-1] == Change(State.NONE, 110, LEASE)
    again = begin(TAKEN, move(State.CREATED, 500, TWO))
    assert [change.state for change in again.changes] == [State.CREATED, State.NONE, State.CREATED]
    assert (again.began_ms, again.until_ms) == (500, 600)
    with pytest.raises(Conflict, match="time is over"):
        advance(gone, move(State.FINISHED, 111))


def test_a_lease_is_never_shortened() -> None:
    assert advance(TAKEN, Move(State.CREATED, ONE, 20, 5)).until_ms == 110


def test_most_claims_take_few_bytes() -> None:
    done = advance(advance(TAKEN, move(State.PROCESSING, 20)), move(State.FINISHED, 30, output=b"8 bytes!"))
    assert len(pack(TAKEN, 1)) == 34
    assert len(pack(done, 1)) == 60


@given(versions=st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=2))
def test_versions_compare_as_bytes(versions: list[int]) -> None:
    one, two = (pack(TAKEN, version)[:6] for version in versions)
    assert (one < two) == (versions[0] < versions[1])


@pytest.mark.parametrize("raw", [b"", bytes(33), bytes(35), bytes(21) + b"\x09" + bytes(12)])
def test_other_bytes_are_no_claim(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no state|are no claim"):
        unpack(raw)


def test_an_id_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no credential's id"):
        pack(Claim((Change(State.CREATED, 1, "ab"),)), 1)
