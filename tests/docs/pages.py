# SPDX-License-Identifier: Apache-2.0
"""
Reads the steps of a page: files to write and commands to run, marked by a comment in front of a fenced block.

`<!-- file: NAME -->` names the block's file; `<!-- run -->` has a console block run, `<!-- run: restart -->` after the stack was
started again, `<!-- run: exit code N -->` with that exit code. Blocks without a mark are not run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- (file|run)(?:: ([^>]*?))? -->\n+```(\w+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class File:
    """A file that the page shows."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Console:
    """Commands of one block, with the lines that they are shown to print; `…` stands for anything."""

    commands: tuple[str, ...]
    printed: tuple[str, ...]
    restart: bool
    exit_code: int


def steps(page: Path) -> Sequence[File | Console]:
    """Give a page's steps in their order."""
    return [_step(*match.groups()) for match in MARKED.finditer(page.read_text())]


def pages() -> list[Path]:
    """Give every Markdown page of the product, the plan of work excepted."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/*.md")]
    return sorted(page for page in found if page.name != "PLAN.md")


def misses(printed: str, expected: Sequence[str]) -> list[str]:
    """Give the expected lines that were not printed in this order; white space counts as one blank."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    return [want for want in expected if not any(_pattern(want).fullmatch(line) for line in lines)]


def _pattern(expected: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in " ".join(expected.split()).split("…")))


def _step(kind: str, note: str | None, language: str, text: str) -> File | Console:
    if kind == "file":
        assert note, "a file needs a name"
        return File(note.strip(), text)
    assert language == "console", f"only console blocks are run, not {language}"
    lines = text.splitlines()
    note = note or ""
    return Console(
        commands=tuple(line[2:] for line in lines if line.startswith("$ ")),
        printed=tuple(line for line in lines if line and not line.startswith("$ ")),
        restart="restart" in note,
        exit_code=int(note.removeprefix("exit code ")) if note.startswith("exit code") else 0,
    )
