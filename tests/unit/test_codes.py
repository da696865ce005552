# SPDX-License-Identifier: Apache-2.0
"""Every failure that is our own has its name in the metrics, and its place in the reference; no other code has."""

from __future__ import annotations

import re
from pathlib import Path

from processors.outcomes.codes import CODES, known_code

ROOT = Path(__file__).parents[2]
SAID = re.compile(r"""\b(?:[fF]ailed|[fF]ailure|_failure|Unpublishable)\(\s*"([a-z-]+)\"""")
ELSEWHERE = {"retry-later", "process-unknown"}
"""Said without a literal of these shapes."""


def test_every_code_of_ours_is_a_label_and_no_label_is_nobodys() -> None:
    said = {code for path in (ROOT / "processors").rglob("*.py") for code in SAID.findall(path.read_text())}
    assert "crashed-worker" in said
    assert said | ELSEWHERE == CODES


def test_a_process_cannot_make_labels() -> None:
    assert [known_code(code) for code in ("crashed-worker", "", "my-own")] == ["crashed-worker", "", "rejected"]


def test_the_reference_explains_each() -> None:
    page = (ROOT / "docs/reference/deadletters.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page.partition("## Reason codes")[2].partition("\n\nRecords")[0], re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", " ".join(rows))) == CODES
