# SPDX-License-Identifier: Apache-2.0
"""An execution whose result Kafka refuses has failed: it waits for nothing any more, and nothing waits behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.domain.execution import Status
from processors.attempts.delivery import Delivery
from processors.outcomes.verdicts import Verdict


def test_what_awaited_something_lets_its_line_go(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    attempt: Any = SimpleNamespace(window=SimpleNamespace(alive=True), stand=lambda wait: said.append(wait))
    delivery = Delivery(attempt)
    delivery._pending, delivery._refusal = 1, SimpleNamespace(str=lambda: "too large")  # type: ignore[assignment]

    def publish(_: Delivery, verdict: Verdict) -> None:
        said.append((verdict.status, verdict.code))

    monkeypatch.setattr(Delivery, "publish", publish)
    delivery._confirmed()
    assert said == [None, (Status.FAILED, "result-too-large")]
