# SPDX-License-Identifier: Apache-2.0
"""The breaker opens when the broker is silent for a second, lets one request in 0.2 s try, and closes with the first report."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.intake.breaker import PROBE_EVERY_S, SILENCE_S, Breaker


def silent() -> Breaker:
    """A breaker that has waited for one record since 0.0 s and found out just after a second."""
    breaker = Breaker()
    breaker.sent(0.0)
    assert breaker.lets_through(1.01)
    assert breaker.open
    return breaker


def test_a_quiet_system_is_not_a_silent_broker() -> None:
    breaker = Breaker()
    assert all(breaker.lets_through(now) for now in (0.0, 5.0, 5.01, 5.02))
    breaker.sent(6.0)
    breaker.reported(True, 6.1)
    assert all(breaker.lets_through(now) for now in (60.0, 60.01, 60.02))
    breaker.sent(61.0)
    assert all(breaker.lets_through(now) for now in (61.5, 61.9, 62.0))
    assert not breaker.open


def test_a_second_without_a_report_opens_it_and_every_confirmation_counts_anew() -> None:
    breaker = Breaker()
    breaker.sent(0.0)
    breaker.sent(0.1)
    breaker.reported(True, 0.9)  # one of two: the other still waits
    assert breaker.lets_through(1.8)
    assert breaker.lets_through(1.9)
    assert not breaker.open
    assert breaker.lets_through(1.91), "the one that notices is the first probe"
    assert breaker.open
    assert not breaker.lets_through(1.92)


def test_while_open_one_request_in_each_fifth_of_a_second_tries() -> None:
    breaker = silent()
    tried = [now for now in (1.01 + n / 1000 for n in range(1, 1000)) if breaker.lets_through(now)]
    assert 4 <= len(tried) <= 5
    assert all(later - earlier > PROBE_EVERY_S - 1e-9 for earlier, later in itertools.pairwise(tried))


def test_a_failure_is_no_sign_of_life_and_a_confirmation_is() -> None:
    breaker = silent()
    breaker.reported(False, 1.05)
    assert not breaker.lets_through(1.06)
    breaker.sent(1.22)
    assert not breaker.lets_through(1.1)
    breaker.reported(True, 1.23)
    assert all(breaker.lets_through(1.24 + n / 1000) for n in range(10))


Step = tuple[str, float]
some_steps = st.lists(st.tuples(st.sampled_from(["ask", "send", "confirm", "fail"]), st.floats(0, 0.7)), max_size=80)


@given(some_steps)
def test_whatever_happens_it_refuses_only_after_a_second_of_waiting(steps: list[Step]) -> None:
    breaker, now, waiting, sign, tried, silent = Breaker(), 100.0, 0, 0.0, -1.0, False
    for what, gap in steps:
        now += gap
        if what == "ask":
            silent = silent or (waiting > 0 and now - sign > SILENCE_S)
            passed = breaker.lets_through(now)
            assert passed == (not silent or now >= tried + PROBE_EVERY_S)
            tried = now if silent and passed else tried
        elif what == "send":
            sign = sign if waiting else now
            waiting += 1
            breaker.sent(now)
        elif waiting:
            waiting -= 1
            breaker.reported(what == "confirm", now)
            if what == "confirm":
                sign, silent = now, False
        assert breaker.open == silent
