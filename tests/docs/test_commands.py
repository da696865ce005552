# SPDX-License-Identifier: Apache-2.0
"""What README, tutorial, how-to and reference show is done here, in their order, on a real stack: files, commands, output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.newcomer import Newcomer
from tests.docs.pages import ROOT, Console, File, misses, pages, steps

pytestmark = pytest.mark.timeout(240)

PAGES = [
    "README.md",
    "docs/tutorial/from-a-webhook-to-a-result.md",
    "docs/reference/topics.md",
    "docs/how-to/write-a-plugin.md",
    "docs/how-to/rotate-a-secret.md",
    "docs/how-to/replay.md",
    "docs/how-to/forward-webhooks.md",
    "docs/how-to/workflows.md",
]
"""The pages with steps, in the order in which a newcomer reads them."""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """One machine for all pages: the tutorial comes after README's plugin, as for a reader."""
    someone = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield someone
    someone.close()


def test_every_page_with_steps_is_run() -> None:
    assert {str(page.relative_to(ROOT)) for page in pages() if steps(page)} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_shows(newcomer: Newcomer, page: str) -> None:
    for step in steps(ROOT / page):
        printed = newcomer.do(step)
        if isinstance(step, Console):
            assert not (left := misses(printed, step.printed)), f"{page}: {step.commands} did not print {left}, but:\n{printed}"


def test_the_consumer_has_ten_lines() -> None:
    [consumer] = [step for step in steps(ROOT / "docs/reference/topics.md") if isinstance(step, File)]
    code = [line for line in consumer.text.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(code) <= 10


def test_a_line_that_is_missing_or_out_of_order_is_noticed(tmp_path: Path) -> None:
    assert misses("a  1\nb 2\n", ("a …", "b …")) == []
    assert misses("b 2\na 1\n", ("a …", "b …")) == ["b …"]
    assert misses("a 1", ("a 2",)) == ["a 2"]
