# SPDX-License-Identifier: Apache-2.0
"""A child that dies is noticed at once, also where pebble has lost the call that it was made for."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import wait

import pytest
from pebble.pool import process as pebbles
from pebble.pool.base_pool import PoolStatus

from processors.calls.children import START_S, Child, Died
from processors.calls.guard import Guard
from processors.calls.isolated import Wanted
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


def test_a_dead_child_that_somebody_else_collects_is_not_taken_for_a_living_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between another thread's waitpid and its note of the exit code, multiprocessing says that the child lives."""
    guard = Guard()
    child = Child(Abuser(), guard, Wanted("json", "info", ""))
    try:
        child._load()
        made = child._context.made
        assert made is not None
        assert made.pid is not None
        monkeypatch.setattr(made, "is_alive", lambda: True)
        assert child.alive
        os.kill(made.pid, signal.SIGKILL)
        wait([made.sentinel], 10)
        assert not child.alive
    finally:
        child.end()
        guard.close()
