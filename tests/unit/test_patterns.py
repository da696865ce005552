# SPDX-License-Identifier: Apache-2.0
"""Dotted patterns: `*` in the middle is one segment, at the end one or more, and nothing else is special."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.patterns import fault, matches

segment = st.text(st.characters(exclude_characters=".*", exclude_categories=("Z", "C")), min_size=1, max_size=8)
dotted = st.lists(segment, min_size=1, max_size=5).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "event_type", "fits"),
    [
        ("user.created", "user.created", True),
        ("user.created", "user.created.twice", False),
        ("user.created", "user.Created", False),
        ("user.created", "user", False),
        ("user.*", "user.created", True),
        ("user.*", "user.address.changed", True),
        ("user.*", "user", False),
        ("user.*", "users.created", False),
        ("user.*.renamed", "user.team.renamed", True),
        ("user.*.renamed", "user.renamed", False),
        ("user.*.renamed", "user.a.b.renamed", False),
        ("*.created", "user.created", True),
        ("*.created", "a.b.created", False),
        ("*.*", "a.b.c", True),
        ("*.*", "a", False),
        ("*", "anything", True),
        ("*", "any.thing.at.all", True),
        ("a+b", "aab", False),
        ("a?", "ab", False),
    ],
)
def test_a_pattern_fits(pattern: str, event_type: str, fits: bool) -> None:
    assert matches(pattern, event_type) is fits
    assert not fault(pattern)


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a..b", "a*", "*a", "**", "a.b*", "a b", "a.\tb"])
def test_what_is_no_pattern_is_named(pattern: str) -> None:
    assert repr(pattern) in fault(pattern)


@given(dotted)
def test_a_type_fits_itself_and_everything(event_type: str) -> None:
    assert matches(event_type, event_type)
    assert matches("*", event_type)


@given(dotted, dotted)
def test_a_prefix_fits_what_begins_with_it(prefix: str, rest: str) -> None:
    assert matches(f"{prefix}.*", f"{prefix}.{rest}")
    assert not matches(f"{prefix}.*", prefix)


@given(dotted, dotted)
def test_without_a_star_only_equal_types_fit(one: str, other: str) -> None:
    assert matches(one, other) is (one == other)
