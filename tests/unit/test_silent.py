# SPDX-License-Identifier: Apache-2.0
"""A signal leaves no record where it completes, so it is never shown in progress: nothing would take that back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.sdk.testing import event
from processors.attempts import attempt as module
from processors.attempts.attempt import Attempt


@pytest.mark.parametrize(("topic", "shown"), [("x.signals", []), ("x.events", ["e1 True"])])
async def test_what_may_leave_no_record_is_not_shown_in_progress(
    monkeypatch: pytest.MonkeyPatch, topic: str, shown: list[str]
) -> None:
    told: list[str] = []
    nothing: Any = None
    around: Any = SimpleNamespace(
        topics=SimpleNamespace(signals="x.signals"),
        projection=SimpleNamespace(started=lambda execution_id, _, of_event: told.append(f"{execution_id} {of_event}")),
        states=SimpleNamespace(of=lambda _: nothing),
    )
    monkeypatch.setattr(module, "hold", lambda *_: None)
    monkeypatch.setattr(Attempt, "_context", lambda _: nothing)
    monkeypatch.setattr(Attempt, "_call", lambda *_: None)
    given: Any = SimpleNamespace(event=event("t"), record=SimpleNamespace(topic=topic, partition=0, key=b"k"), redelivery=None)
    process: Any = SimpleNamespace(name="runs", state="")
    Attempt(around, nothing, nothing, given, process, "e1", nothing).begin()
    assert told == shown
