# SPDX-License-Identifier: Apache-2.0
"""What counts as standing still: time in which Kafka answered and this process ran, and nothing else."""

from __future__ import annotations

from processors.watch.stillness import LOOK_S, SILENT_S, Stillness


def test_the_time_at_one_place_adds_up_until_it_moves() -> None:
    still = Stillness(0.0)
    for now, place, counted in ((1, 7, 0), (2, 7, 1), (3.5, 7, 2.5), (4, 8, 0), (5, 8, 1)):
        still.look(now)
        assert still.see("p0", place) == counted
    assert still.age("p0", 5) == 1


def test_time_that_does_not_count_leaves_the_count_as_it_was() -> None:
    still = Stillness(0.0)
    still.look(1)
    still.see("p0", 7)
    still.look(2)
    still.see("p0", 7)
    still.look(3)
    assert still.see("p0", 7, counts=False) == 1
    assert still.age("p0", 3) == 2
    still.look(4)
    assert still.see("p0", 7) == 2


def test_a_silence_of_kafka_or_a_stop_of_the_process_begins_everything_anew() -> None:
    still = Stillness(0.0)
    still.look(1)
    still.see("p0", 7)
    still.look(5)
    assert still.see("p0", 7) == LOOK_S, "no look counts for more"
    still.look(5 + SILENT_S + 100)
    assert still.see("p0", 7) == 0
    assert still.age("p0", 105 + SILENT_S) == 104 + SILENT_S, "the age is the whole time"


def test_what_is_no_longer_ours_is_forgotten() -> None:
    still = Stillness(0.0)
    still.look(1)
    still.see("p0", 7)
    still.see("p1", 7)
    still.keep(["p1"])
    still.look(2)
    assert still.see("p0", 7) == 0
    assert still.see("p1", 7) == 1
