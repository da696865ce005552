# SPDX-License-Identifier: Apache-2.0
"""References: looked up with their types, written into texts, never evaluated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.workflows.references import Filling, Given, Unresolved, parse

GIVEN = Given(
    "run-1",
    {"x": "y", "n": 5, "data": {"a": {"b": [10, {"c": True}]}}, "evil": "$(params.n)", "__class__": "no"},
    {"Wait for it": {"data": {"k": None, "__init__": 1}}},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(params.x)", "y"),
        ("$(params.n)", 5),
        ("n=$(params.n), $(params.x)", "n=5, y"),
        ("$(params.data.a)", {"b": [10, {"c": True}]}),
        ("$(params.data.a.b.1.c)", True),
        ("a $(params.data.a)", 'a {"b":[10,{"c":true}]}'),
        ("$(task.Wait for it.results.data.k)", None),
        ("$(run.id)", "run-1"),
        ("$$(params.x) costs $5", "$(params.x) costs $5"),
        ("$(params.evil)", "$(params.n)"),
        ("plain", "plain"),
    ],
)
def test_what_a_text_becomes(text: str, value: Any) -> None:
    assert Filling(GIVEN).fill({"in": [text]}) == {"in": [value]}


MISSING = ["params.nope", "params.x.y", "params.data.a.b.2", "params.data.a.b.-1", "params.x.__class__", "params.data.a.b.³"]


@pytest.mark.parametrize("inner", [*MISSING, "task.other.results.data", "task.Wait for it.results.data.k.z"])
def test_what_is_not_there(inner: str) -> None:
    with pytest.raises(Unresolved, match="has no value"):
        Filling(GIVEN).fill(f"$({inner})")


@pytest.mark.parametrize("text", ["$(x)", "$()", "$(params)", "$(params.)", "$(task.a.data)", "$(params.x", "a $( b", "$(1+1)"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is no reference"):
        parse(text)


@given(st.text())
def test_a_text_without_a_bracket_stays(text: str) -> None:
    kept = text.replace("$(", "")
    assert Filling(GIVEN).fill(kept) == kept
    assert Filling(GIVEN).fill(kept.replace("$", "") + "$$(") == kept.replace("$", "") + "$("
