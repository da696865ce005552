# SPDX-License-Identifier: Apache-2.0
"""What row C9 takes for growth: a leak of 2 MB in ten minutes turns it red, and what is set aside by design does not."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

from tests.chaos.flat import Look, changed, missed
from tests.chaos.scenarios.soak import PAUSE_S, WARM

SPAN_S = 3000.0
STEP_MB, STEP_S = 7.9, 450.0
"""A generation of finished executions and one of failed attempts."""


def _looks(leak_mb: float = 0.0, leaked_files: float = 0.0) -> list[Look]:
    """Make the looks at a worker of 50 minutes: noise, growth while it gets warm, steps, and a leak per ten minutes."""
    random, looks = Random(1), []
    for n in range(int(SPAN_S / PAUSE_S) + 1):
        at = n * PAUSE_S
        begun = int(at / STEP_S) + 1
        filled = 1 - exp(-(at % STEP_S) / 45)  # the pages of the newest generation come as it is written to
        rss = 110 + 15 * (1 - exp(-at / 120)) + STEP_MB * (begun - 1 + filled) + leak_mb * at / 600 + random.gauss(0, 0.5)
        looks.append(Look(at, 7, rss, int(60 + random.uniform(-3, 3) + leaked_files * at / 600), STEP_MB * begun))
    return looks


def _found(looks: list[Look]) -> list[str]:
    return list(missed("worker 0", looks, SPAN_S * WARM))


def test_steps_and_a_warm_up_are_no_growth() -> None:
    assert not _found(_looks())


def test_a_leak_is_found_beside_the_steps() -> None:
    (said,) = _found(_looks(leak_mb=2.0))
    assert said.startswith("worker 0 takes 2.")


def test_a_leak_of_large_blocks_is_found() -> None:
    leaking = [replace(look, rss_mb=look.rss_mb + 4.0 * (look.at_s // 1000)) for look in _looks()]
    assert len(_found(leaking)) == 1


def test_steps_are_growth_where_nothing_says_what_they_are() -> None:
    assert len(_found([replace(look, set_aside_mb=0.0) for look in _looks()])) == 1


def test_files_that_stay_open_are_found() -> None:
    (said,) = _found(_looks(leaked_files=3.0))
    assert "files more" in said


def test_what_is_set_aside_has_a_bound_too() -> None:
    (said,) = _found([replace(look, set_aside_mb=look.set_aside_mb + 20, rss_mb=look.rss_mb + 20) for look in _looks()])
    assert said == "worker 0 sets 75 MB aside, asked 72"


def test_a_process_that_is_another_one_is_named() -> None:
    looks = _looks()
    assert not list(changed({"web 0": looks}, len(looks)))
    assert list(changed({"web 0": looks}, len(looks) + 1)) == ["web 0 was there at 101 of 102 looks, as 1 processes"]
    looks[-1] = replace(looks[-1], pid=8)
    assert list(changed({"web 0": looks}, len(looks))) == ["web 0 was there at 101 of 101 looks, as 2 processes"]
