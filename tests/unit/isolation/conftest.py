# SPDX-License-Identifier: Apache-2.0
"""Child processes for the tests of this folder, and how long they may take."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psutil
import pytest

from bridge.settings import Settings
from processors.calls.isolation import Isolation
from tests.abusers import Abuser


@pytest.fixture
async def children() -> AsyncIterator[Isolation]:
    """Child processes; none is left afterwards."""
    before = {one.pid for one in psutil.Process().children()}
    made = Isolation(Settings(log_format="json"))
    yield made
    await made.close()
    left = [one for one in psutil.Process().children() if one.pid not in before]
    assert [one for one in left if "resource_tracker" not in " ".join(one.cmdline())] == []


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not need the deadline shall not meet it on a busy machine."""
    monkeypatch.setattr(Abuser, "timeout_s", 20.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker wait for half a second only."""
    monkeypatch.setattr(Abuser, "timeout_s", 0.5)
