# SPDX-License-Identifier: Apache-2.0
"""A run that stays due, because something holds it, gets further signals ever more rarely."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from processors.background import timers
from processors.background.timers import Timers

DAY_MS = 86_400_000


def test_a_held_run_is_not_signalled_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(timers, "now_ms", lambda: 0)
    monkeypatch.setattr(timers, "next_due_ms", lambda _: 5_000)
    table: Any = SimpleNamespace(kept={0: {b"acme/run": SimpleNamespace(value=b"held")}}, changed=asyncio.Event(), news={})
    outbox: Any = SimpleNamespace(send=lambda record, _: sent.append(now))
    made = Timers(table, outbox, "signals")
    made._set(0, b"acme/run", 5_000)
    for now in range(0, DAY_MS, 1_000):
        made._fire(now)
    assert sent[:4] == [5_000, 35_000, 65_000, 125_000]
    assert len(sent) < 35, "once an hour in the end"
