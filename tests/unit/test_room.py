# SPDX-License-Identifier: Apache-2.0
"""How much a worker holds: all of it bounded, and redeliveries to a small part of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from processors.room import AGAIN_IN_FLIGHT, IN_FLIGHT, IN_FLIGHT_BYTES, Room


def room() -> Room:
    outbox: Any = SimpleNamespace(waiting=0)
    return Room(outbox)


def test_redeliveries_fill_their_share_and_leave_the_rest() -> None:
    held = room()
    for _ in range(AGAIN_IN_FLIGHT):
        assert not held.full(again=True)
        held.take(10, again=True)
    assert held.full(again=True)
    assert not held.full(again=False)
    held.release(1, 10, again=True)
    assert not held.full(again=True)


def test_events_and_bytes_are_bounded_together() -> None:
    held = room()
    for _ in range(IN_FLIGHT):
        held.take(0, again=False)
    assert held.full(again=False)
    held.release(IN_FLIGHT, 0, again=False)
    held.take(IN_FLIGHT_BYTES, again=False)
    assert held.full(again=False)


async def test_whoever_waits_is_woken_by_what_is_let_go() -> None:
    held = room()
    held.take(1, again=False)
    waiting = [asyncio.create_task(held.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not waiting[1].done()
    held.release(1, 1, again=False)
    await asyncio.wait_for(waiting[1], 1)
