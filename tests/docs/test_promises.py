# SPDX-License-Identifier: Apache-2.0
"""Each promise has its page, says what it does not promise, and names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT

EXPLANATION = ROOT / "docs" / "explanation"
PAGES = re.findall(r"^\d\. \[[^\]]*\]\(([a-z-]+\.md)\)", (EXPLANATION / "guarantees.md").read_text(), re.MULTILINE)
NAMED = re.compile(r"`((?:tests|bench)/[a-z_/]+\.py)`")


def test_there_are_five_promises() -> None:
    assert len(PAGES) == 5


@pytest.mark.parametrize("name", PAGES)
def test_a_promise_says_what_it_is_and_is_not_and_how_it_is_tested(name: str) -> None:
    text = (EXPLANATION / name).read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"What is promised", "What is not promised", "How it is tested"} <= set(headings)
    tests = NAMED.findall(text)
    assert tests
    assert [one for one in tests if not (ROOT / one).is_file()] == []
