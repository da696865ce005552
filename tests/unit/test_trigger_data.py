# SPDX-License-Identifier: Apache-2.0
"""Data on the command line of `evb trigger` are JSON, a file that can be read, or stdin: a typing error is never sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.cli.output import USAGE, exit_code_of
from bridge.cli.trigger import app
from bridge.domain.errors import Misconfigured

NOBODY = ("--url", "http://127.0.0.1:1", "--key", "k")


def fault(*arguments: str, given: bytes = b"") -> BaseException | None:
    """What a command raises, or None where it came as far as sending, and said so."""
    done = CliRunner().invoke(app, ["a.b", *arguments, *NOBODY], input=given)
    assert isinstance(done.exception, SystemExit) == ("cannot be reached" in done.output)
    return None if isinstance(done.exception, SystemExit) else done.exception


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{bad", "line 1 column 2"),
        ('{"a": 1', "line 1 column 8"),
        ("hello", "line 1 column 1"),
        ("", "line 1 column 1"),
        ("/nosuch/stack", "nor a directory"),
    ],
)
def test_a_text_that_is_no_json_is_a_usage_fault_that_says_where(text: str, where: str) -> None:
    found = fault("--data", text)
    assert isinstance(found, Misconfigured)
    assert exit_code_of(found) == USAGE
    assert where in str(found)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]", "12.5", '"hello"', "null"])
def test_any_json_is_sent(text: str) -> None:
    assert fault("--data", text) is None


def test_a_file_and_stdin_may_hold_anything(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"{bad\xff")
    assert fault("--data", f"@{file}") is None
    assert fault("--data", "-", given=b"{bad\xff") is None


def test_a_file_that_cannot_be_read_is_a_usage_fault_that_names_it(tmp_path: Path) -> None:
    for file, why in ((tmp_path / "nosuch", "No such file or directory"), (tmp_path, "Is a directory")):
        found = fault("--data", f"@{file}")
        assert isinstance(found, Misconfigured)
        assert str(found) == f"--data @{file} cannot be read: {why}."
