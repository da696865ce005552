# SPDX-License-Identifier: Apache-2.0
"""A stall that says nothing of what was running leaves no suspicion behind."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from bridge.settings import Settings
from processors.calls.journal import Journal
from processors.watch import lastwords
from processors.watch.lastwords import REASONS, LastWords


class Ended(Exception):
    """The process would have ended."""


def end(*_: object, **__: object) -> NoReturn:
    raise Ended


@pytest.mark.parametrize("reason", REASONS)
def test_only_what_an_execution_may_cause_blames_those_that_ran(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lastwords, "stalled", end)
    journal, ran = Journal(tmp_path / "j"), str(uuid.uuid4())
    announcer: Any = SimpleNamespace(stalls={})
    words = LastWords(Settings(), announcer, journal)
    journal.begin(ran)
    with pytest.raises(Ended):
        words.say(reason)
    assert journal.runs(ran) == (reason in ("head", "loop"))
