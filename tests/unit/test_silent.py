# SPDX-License-Identifier: Apache-2.0
"""A signal leaves no record where it completes, so it is never shown in progress: nothing would take that back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.sdk.testing import event
from processors.attempts import attempt as module
from processors.attempts import suspects
from processors.attempts.attempt import Attempt

AGAIN = SimpleNamespace(attempt=1)


@pytest.mark.parametrize(
    ("topic", "redelivery", "shown"),
    [("x.signals", None, []), ("x.events", None, ["e1 of its event"]), ("x.events", AGAIN, ["e1 given again"])],
    ids=["signal", "event", "redelivery"],
)
async def test_what_may_leave_no_record_is_not_shown_in_progress(
    monkeypatch: pytest.MonkeyPatch, topic: str, redelivery: Any, shown: list[str]
) -> None:
    """What began from a redelivery is told apart: the router has passed its event long ago."""
    told: list[str] = []

    def started(execution_id: str, _: Any, *, of_event: bool) -> None:
        told.append(f"{execution_id} {'of its event' if of_event else 'given again'}")

    nothing: Any = None
    around: Any = SimpleNamespace(
        topics=SimpleNamespace(signals="x.signals"),
        projection=SimpleNamespace(started=started),
        states=SimpleNamespace(of=lambda _: nothing),
    )
    monkeypatch.setattr(module, "hold", lambda *_: None)
    monkeypatch.setattr(Attempt, "_context", lambda _: nothing)
    monkeypatch.setattr(suspects, "call", lambda *_: None)
    record = SimpleNamespace(topic=topic, partition=0, key=b"k")
    given: Any = SimpleNamespace(event=event("t"), record=record, redelivery=redelivery)
    process: Any = SimpleNamespace(name="runs", state="")
    Attempt(around, nothing, nothing, given, process, "e1", nothing).begin()
    assert told == shown
