# SPDX-License-Identifier: Apache-2.0
"""Pages equal their catalogues, links lead somewhere, decisions have one form, and the example's payloads are whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import output
from bridge.settings import AMBIENT, variables
from tests.docs.pages import ROOT, pages

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:bridge|processors|web|plugins|tests|bench|docs|deploy|examples)/[\w./-]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODES = ("FAILED", "USAGE", "NOT_FOUND", "DENIED", "TIMED_OUT", "INTERRUPTED")
GENERATE = ROOT / "docs" / "generate.py"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def test_the_generated_blocks_are_what_the_catalogues_say() -> None:
    done = subprocess.run([sys.executable, str(GENERATE), "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run: python docs/generate.py"


def test_a_stale_page_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    (tmp_path / "docs" / "generate.py").write_text(GENERATE.read_text())
    page = tmp_path / "docs" / "reference" / "settings.md"
    page.write_text((ROOT / "docs/reference/settings.md").read_text().replace("EVB_PORT", "EVB_PROT"))
    command = [sys.executable, str(tmp_path / "docs" / "generate.py")]
    assert subprocess.run([*command, "--check"], capture_output=True, cwd=ROOT).returncode == 1
    assert subprocess.run(command, capture_output=True, cwd=ROOT).returncode == 0
    assert page.read_text() == (ROOT / "docs/reference/settings.md").read_text()


def test_every_exit_code_is_on_the_page_of_the_command_line() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text()
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert listed == [0, *sorted(getattr(output, name) for name in CODES)]


def test_every_variable_is_on_the_settings_page() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    assert [name for name in (*variables(), *AMBIENT) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in {_anchor(h) for h in HEADING.findall(target.read_text())}):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path) -> None:
    assert [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("record", DECISIONS, ids=lambda record: record.stem)
def test_a_decision_says_what_was_chosen_and_what_was_not(record: Path) -> None:
    text = record.read_text()
    assert re.match(rf"# {record.name[:4]}\. \S", text), "the title begins with the number"
    said = [*HEADING.findall(text), *re.findall(r"\*\*(\w+):?\*\*", text)]
    missing = [part for part in ("Status", "Context", "Decision", "Consequences", "Rejected") if not any(part in s for s in said)]
    assert not missing


def test_decisions_are_numbered_once() -> None:
    numbers = [record.name[:4] for record in DECISIONS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", ["push", "issues", "pull_request"])
def test_the_examples_payloads_are_whole(name: str) -> None:
    text = (ROOT / f"examples/github-plugin/tests/fixtures/{name}.json").read_text()
    assert 5_000 < len(text.encode()) < 25_600
    assert not text.isascii()
    assert {"repository", "sender", "organization"} <= set(json.loads(text))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
