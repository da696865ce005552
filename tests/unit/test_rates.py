# SPDX-License-Identifier: Apache-2.0
"""A worker's heartbeat says what each process did within the last minute, from the counters that Prometheus reads."""

from __future__ import annotations

import pytest

from bridge import metrics
from processors.watch.rates import Rates, quantile

INFINITY = float("inf")


@pytest.mark.parametrize(
    ("share", "within", "expected"),
    [
        (0.5, {}, 0.0),
        (0.5, {0.1: 0, INFINITY: 0}, 0.0),
        (0.5, {0.1: 10, 0.2: 10, INFINITY: 10}, 0.05),
        (0.5, {0.1: 0, 0.2: 10, INFINITY: 10}, 0.15),
        (0.99, {0.1: 98, 0.2: 100, INFINITY: 100}, 0.15),
        (0.99, {0.1: 50, 0.2: 60, INFINITY: 100}, 0.2),
    ],
)
def test_a_quantile_lies_where_promql_puts_it(share: float, within: dict[float, float], expected: float) -> None:
    assert quantile(share, within) == pytest.approx(expected)


def ran(process: str, outcome: str, times: int, seconds: float) -> None:
    for _ in range(times):
        metrics.EXECUTIONS.labels(process, outcome).inc()
        metrics.EXECUTION_DURATION.labels(process).observe(seconds)


def test_what_is_older_than_a_minute_is_left_out_and_so_is_who_did_nothing() -> None:
    now = [0.0]
    ran("rated-idle", "completed", 3, 0.004)
    rates = Rates(lambda: now[0])
    rates.take()  # what was there before

    def taken() -> dict[str, tuple[float, dict[str, int]]]:
        return {one.process: (one.seconds, one.outcomes) for one in rates.take() if one.process == "rated"}

    ran("rated", "completed", 8, 0.004)
    ran("rated", "exception", 2, 0.2)
    now[0] = 10
    assert taken() == {"rated": (10, {"completed": 8, "exception": 2})}
    for now[0] in (20, 30, 40, 50, 60):
        taken()
    ran("rated", "completed", 1, 0.004)
    now[0] = 70
    assert taken() == {"rated": (60, {"completed": 1})}
    for now[0] in (80, 90, 100, 110, 120, 130):
        left = taken()
    assert left == {}


def test_the_slowest_hundredth_is_seen() -> None:
    rates = Rates(iter((0.0, 10.0)).__next__)
    ran("quick", "completed", 95, 0.004)
    ran("quick", "completed", 5, 2.0)
    (one,) = (one for one in rates.take() if one.process == "quick")
    assert 0.0025 <= one.p50_s <= 0.005
    assert 1.0 <= one.p99_s <= 2.5
