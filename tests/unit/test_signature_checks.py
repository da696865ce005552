# SPDX-License-Identifier: Apache-2.0
"""Checks of signatures that take long: one after another in a thread of their own, and no more than may wait."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import authenticate
from bridge.domain.errors import NotAuthenticated, Unavailable
from web.http import auth

REQUEST: Any = SimpleNamespace(headers={auth.SIGNATURE: "sha256=no"}, body=b"large")
SERVICES: Any = SimpleNamespace(registry=None)


async def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, threads = threading.Event(), set()

    def slow(*_: object) -> None:
        threads.add(threading.current_thread().name)
        assert go_on.wait(10)
        raise NotAuthenticated

    monkeypatch.setattr(authenticate, "takes_long", lambda *_: True)
    monkeypatch.setattr(authenticate, "by_signature", slow)
    monkeypatch.setattr(auth, "MOST_WAITING", 3)
    checks = [asyncio.create_task(auth._signer(REQUEST, SERVICES, None)) for _ in range(6)]
    refused, _ = await asyncio.wait(checks, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
    assert refused
    assert all(isinstance(one.exception(), Unavailable) for one in refused)
    go_on.set()
    found = await asyncio.gather(*checks, return_exceptions=True)
    assert {type(one) for one in found} == {Unavailable, NotAuthenticated}
    assert sum(isinstance(one, NotAuthenticated) for one in found) in (3, 4), "those that waited, and the one that ran"
    assert len(threads) == 1
    with pytest.raises(NotAuthenticated):
        await auth._signer(REQUEST, SERVICES, None)
