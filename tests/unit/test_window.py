# SPDX-License-Identifier: Apache-2.0
"""What may be committed of a partition: never beyond a record that is not finished, whatever the order of the ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.stream.window import Gap, Window


@given(first=st.integers(0, 1000), ends=st.permutations(range(20)))
def test_the_head_is_always_the_first_unfinished_offset(first: int, ends: list[int]) -> None:
    window = Window("events", 0, first)
    entries = [window.accept(first + n, 10, 0.0) for n in range(20)]
    unfinished = set(range(first, first + 20))
    passed = 0
    for n in ends:
        entries[n].open = 0
        unfinished.discard(first + n)
        passed += window.advance()
        assert len(window.unfinished()) == len(unfinished)
        assert window.head == min(unfinished, default=first + 20)
    assert passed == 20


def test_an_empty_window_commits_the_next_offset() -> None:
    assert Window("events", 0, 7).head == 7


def test_a_record_that_is_read_again_is_known_and_a_missing_one_is_a_gap() -> None:
    window = Window("events", 0, 5)
    window.accept(5, 1, 0.0)
    assert window.knows(4)
    assert window.knows(5)
    assert not window.knows(6)
    with pytest.raises(Gap, match="expected offset 6, found 8"):
        window.knows(8)
    with pytest.raises(Gap):
        window.accept(8, 1, 0.0)


def test_a_partition_that_is_given_up_is_dead_and_empty() -> None:
    window = Window("events", 0, 0)
    window.accept(0, 3, 0.0)
    window.accept(1, 4, 0.0)
    assert window.unfinished() == [3, 4]
    window.close()
    assert not window.alive
    assert not window.entries
