# SPDX-License-Identifier: Apache-2.0
"""Without Redis, a process counts exactly as the reference does at its share of each quota, and remembers a bounded amount."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.limits import Window
from bridge.intake.local_limits import LocalLimits
from tests.integration.sliding_log import SlidingLog

MINUTE = (Window(3, 60),)

window = st.builds(Window, st.integers(1, 30), st.sampled_from([1, 2, 10]))
steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 40, 250, 999, 1000, 1001, 2000, 10_000]) | st.integers(0, 3000), st.integers(1, 12)),
    max_size=60,
)


@given(windows=st.lists(window, min_size=1, max_size=3), processes=st.integers(1, 4), steps=steps)
def test_the_windows_are_an_exact_sliding_log(windows: list[Window], processes: int, steps: list[tuple[int, int]]) -> None:
    limits = LocalLimits(processes)
    model = SlidingLog([Window(max(1, w.quota // processes), w.seconds) for w in windows])
    now_ms = 1_000_000
    for gap, events in steps:
        now_ms += gap
        wait_s, quotas = limits.ask("acme", windows, events, now_ms)
        assert (wait_s, [(q.remaining, q.reset_s) for q in quotas]) == model.ask(now_ms, events)
        assert [(q.name, q.window_s) for q in quotas] == [(f"{w.seconds}s", w.seconds) for w in windows]


@pytest.mark.parametrize(("quota", "processes", "share"), [(10, 1, 10), (10, 3, 3), (1, 8, 1)])
def test_each_process_has_its_share_and_never_nothing(quota: int, processes: int, share: int) -> None:
    limits = LocalLimits(processes)
    admitted = [limits.ask("acme", (Window(quota, 60),), 1, now) for now in range(20)]
    assert [wait_s for wait_s, _ in admitted].count(0) == share
    assert {quotas[0].limit for _, quotas in admitted} == {share}


def test_what_is_let_in_is_counted_and_what_is_refused_is_not() -> None:
    limits = LocalLimits(1)
    assert limits.ask("acme", MINUTE, 4, 0)[0] == 60, "more than the window holds: it says the window"
    assert limits.ask("acme", MINUTE, 3, 0)[0] == 0
    assert limits.ask("acme", MINUTE, 1, 59_001) == (1, limits.ask("acme", MINUTE, 9, 59_001)[1])
    assert limits.ask("acme", MINUTE, 3, 60_000)[0] == 0


def test_tenants_share_nothing_and_no_window_is_no_limit() -> None:
    limits = LocalLimits(1)
    assert used(limits, "one") == 3
    assert limits.ask("two", MINUTE, 3, 0)[0] == 0
    assert limits.ask("free", (), 1_000_000, 0) == (0, ())


def test_redis_is_back_and_everything_is_forgotten() -> None:
    limits = LocalLimits(1)
    assert used(limits, "one") == 3
    limits.clear()
    assert used(limits, "one") == 3


def test_of_too_many_tenants_the_quietest_is_forgotten() -> None:
    limits = LocalLimits(1, tenants=2)
    for tenant in ("one", "two", "one", "three"):  # `two` was asked for least recently
        limits.ask(tenant, MINUTE, 1, 0)
    assert (used(limits, "one"), used(limits, "two")) == (1, 3)


@pytest.mark.parametrize(("moments", "left"), [(10, 0), (9, 2)])
def test_of_too_many_moments_the_quietest_tenants_are_forgotten(moments: int, left: int) -> None:
    wide = (Window(100, 60),)
    limits = LocalLimits(1, moments=moments)
    for now in range(10):
        limits.ask("busy" if now else "quiet", wide, 1, now)
    limits.ask("busy", wide, 1, 9)  # the same millisecond: no moment more, and time to look at the bound
    assert limits.ask("busy", wide, 1, 9)[1][0].remaining == 100 - 11, "whoever asks keeps what it sent"
    assert used(limits, "quiet", now_ms=10) == 3 - (left == 0)


def test_moments_that_left_every_window_take_no_room() -> None:
    limits = LocalLimits(1, moments=5)
    limits.ask("quiet", (Window(3, 600),), 3, 0)
    for now_ms in range(0, 100_000, 10_000):
        limits.ask("busy", (Window(3, 1),), 1, now_ms)
    assert used(limits, "quiet", (Window(3, 600),), 100_000) == 0, "it is still known"


def used(limits: LocalLimits, tenant: str, windows: Sequence[Window] = MINUTE, now_ms: int = 0) -> int:
    """Send until refused; give how many came in."""
    count = 0
    while limits.ask(tenant, windows, 1, now_ms)[0] == 0:
        count += 1
    return count
