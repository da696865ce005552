# SPDX-License-Identifier: Apache-2.0
"""What a recovery keeps for the view: the newest record of each execution, within bounds, once."""

from __future__ import annotations

from processors.tables.record_tables import Recovered


def test_the_newest_record_of_an_execution_is_given_once() -> None:
    recovered = Recovered()
    recovered.add("a", 1, b"pending")
    recovered.add("a", 5, b"completed")
    assert recovered.take("a") == (5, b"completed")
    assert recovered.take("a") is None


def test_the_oldest_go_first_by_number_and_by_size() -> None:
    recovered = Recovered(most=2, most_bytes=10)
    for offset, name in enumerate("abc"):
        recovered.add(name, offset, b"x")
    assert recovered.take("a") is None
    recovered.add("d", 3, b"x" * 10)
    assert (recovered.take("b"), recovered.take("c")) == (None, None)
    assert recovered.take("d") == (3, b"x" * 10)


def test_what_was_taken_leaves_its_room() -> None:
    recovered = Recovered(most=2, most_bytes=4)
    for offset in range(10):
        recovered.add("a", offset, b"xxxx")
        assert recovered.take("a") == (offset, b"xxxx")
