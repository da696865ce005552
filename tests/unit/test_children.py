# SPDX-License-Identifier: Apache-2.0
"""A child that dies is noticed at once, also where pebble has lost the call that it was made for."""

from __future__ import annotations

import time

import pytest
from pebble.pool import process as pebbles
from pebble.pool.base_pool import PoolStatus

from processors.children import START_S, Child, Died
from processors.guard import Guard
from processors.isolated import Wanted
from tests.abusers import Abuser


def test_a_child_that_dies_before_its_call_was_taken_over_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    taking_over = pebbles.task_scheduler_loop

    def late(manager: pebbles.PoolManager) -> None:
        while manager.context.status is not PoolStatus.ERROR:
            time.sleep(0.01)
        taking_over(manager)

    monkeypatch.setattr(pebbles, "task_scheduler_loop", late)
    guard = Guard()
    child = Child(Abuser(), guard, Wanted("json", "info", ""))
    began = time.monotonic()
    try:
        child.kill()
        with pytest.raises(Died):
            child.run(b"")
        assert time.monotonic() - began < START_S / 2
    finally:
        child.end()
        guard.close()
