# SPDX-License-Identifier: Apache-2.0
"""The page of the last run is what its data say, and has every row of the matrix."""

from __future__ import annotations

from dataclasses import replace

from tests.chaos import report
from tests.chaos.scenarios import ALL, LONG_ONLY


def test_the_page_is_written_from_the_data() -> None:
    assert report.PAGE.read_text() == report.page(report.kept()), "run make chaos; the page is not edited by hand"


def test_every_scenario_has_its_row() -> None:
    assert [row.id for row in report.kept()] == [scenario.id for scenario in ALL]


def test_scenarios_of_the_long_tier_alone_are_named_without_a_result() -> None:
    page = report.page(report.kept())
    for scenario in LONG_ONLY:
        assert f"- {scenario.id}, {scenario.fault}: {scenario.what}" in page
        assert f"| {scenario.id} |" not in page


def test_what_was_missed_is_said() -> None:
    first, *rest = report.kept()
    page = report.page([replace(first, missed=["the moon is not blue"], at=""), *rest])
    assert "- **missed**: the moon is not blue" in page
    assert f"| {first.id} | {first.fault} |" in page
    assert "| missed |" in page
