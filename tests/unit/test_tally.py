# SPDX-License-Identifier: Apache-2.0
"""Requests that are counted together are counted as each by itself would be."""

from __future__ import annotations

import asyncio

from bridge.metrics import INGRESS_DURATION, INGRESS_IN_PROGRESS, INGRESS_REQUESTS, SECONDS, Histogram
from web.counting import Tally, count

AMOUNTS = [0.0, *SECONDS, 0.0011, 4.9, 5.1, 1e9, -1.0]


def samples(metric: object, **labels: str) -> list[tuple[str, dict[str, str], float]]:
    (family,) = metric.collect()  # type: ignore[attr-defined]
    return [(s.name, s.labels, s.value) for s in family.samples if labels.items() <= s.labels.items()]


def test_many_durations_at_once_fill_the_same_buckets() -> None:
    one, all_ = (Histogram("seconds", "", ["of"], buckets=SECONDS, registry=None) for _ in range(2))
    for amount in AMOUNTS:
        one.labels("x").observe(amount)
    all_.labels("x").observe_all(AMOUNTS)
    all_.labels("x").observe_all([])
    assert samples(all_) == samples(one)


async def test_a_turn_of_the_loop_is_counted_at_its_end() -> None:
    tally, before = Tally(asyncio.get_running_loop()), INGRESS_IN_PROGRESS._value.get()
    for _ in range(5):
        tally.began()
    await asyncio.sleep(0)
    assert INGRESS_IN_PROGRESS._value.get() == before + 5
    for dialect, status in (("tally-a", 202), ("tally-a", 400), ("tally-b", 202), ("tally-a", 202)):
        tally.ended(dialect, status, 0.02)
    await asyncio.sleep(0)
    assert INGRESS_IN_PROGRESS._value.get() == before + 1
    tally.ended("tally-b", 499, 7.0)
    await asyncio.sleep(0)
    for dialect, status in (("single-a", 202), ("single-a", 400), ("single-b", 202), ("single-a", 202)):
        count(dialect, status, 0.02)
    count("single-b", 499, 7.0)
    for metric in (INGRESS_REQUESTS, INGRESS_DURATION):
        for letter in "ab":
            together, alone = (samples(metric, dialect=f"{way}-{letter}") for way in ("tally", "single"))
            assert [(n, {**of, "dialect": ""}, v) for n, of, v in together] == [
                (n, {**of, "dialect": ""}, v) for n, of, v in alone
            ]
            assert together
