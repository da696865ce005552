# SPDX-License-Identifier: Apache-2.0
"""Who works at the dead letters over HTTP: a tenant one thing at a time, and no tenant in another's way."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.errors import Unavailable
from web.api import calling
from web.api.calling import READERS, Calling


@pytest.fixture
def turns() -> Calling:
    nothing: Any = None
    return Calling(nothing, nothing)


def test_a_tenant_does_one_thing_at_a_time_and_is_in_nobodys_way(turns: Calling) -> None:
    with turns.alone("a"), turns.alone("b"), pytest.raises(Unavailable), turns.alone("a"):
        pass
    with turns.alone("a"):
        pass


def test_few_read_at_a_time_and_the_next_one_waits(turns: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "PATIENCE_S", 0.01)
    held = [turns.reading() for _ in range(READERS)]
    for one in held:
        one.__enter__()
    with pytest.raises(Unavailable), turns.reading():
        pass
    held[0].__exit__(None, None, None)
    with turns.reading():
        pass
