# SPDX-License-Identifier: Apache-2.0
"""How much a worker holds: all of it bounded, and redeliveries and signals each to a part of their own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from processors.stream.room import ASIDE_BYTES, IN_FLIGHT, IN_FLIGHT_BYTES, IN_LINE, Room


def room() -> Room:
    outbox: Any = SimpleNamespace(waiting=0)
    return Room(outbox, {"again": 3})


def test_a_topic_with_a_bound_fills_its_part_and_leaves_the_rest() -> None:
    held = room()
    for _ in range(3):
        assert not held.full("again")
        held.take("again", 10)
    assert held.full("again")
    assert not held.full("events")
    held.finish("again", 10)
    assert not held.full("again")


def test_events_and_bytes_are_bounded_and_leave_the_bounded_topics_their_room() -> None:
    held = room()
    for _ in range(IN_FLIGHT):
        held.take("events", 0)
    assert held.full("events")
    assert held.full("more events"), "topics without a bound share one"
    assert not held.full("again")
    held.finish("events", 0)
    assert not held.full("events")
    held.take("events", IN_FLIGHT_BYTES)
    held.finish("events", 0)
    assert (held.full("events"), held.full("again")) == (True, False)
    held.take("again", ASIDE_BYTES)
    assert held.full("again")
    held.finish("again", ASIDE_BYTES)
    assert (held.full("events"), held.full("again"), held.free("events")) == (True, False, 1)


def test_what_is_finished_takes_no_room_but_a_place_in_the_line() -> None:
    held = room()
    for _ in range(IN_LINE):
        assert not held.full("events")
        held.take("events", 10)
        held.finish("events", 10)
    assert held.full("events")
    held.leave(1)
    assert not held.full("events")


async def test_whoever_waits_is_woken_by_what_is_let_go() -> None:
    held = room()
    held.take("events", 1)
    waiting = [asyncio.create_task(held.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not waiting[1].done()
    held.finish("events", 1)
    await asyncio.wait_for(waiting[1], 1)
