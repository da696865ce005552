# SPDX-License-Identifier: Apache-2.0
"""What a tenant may have in flight: its share, and above that as much as is free."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from processors.attempts.shares import MOST_SHARES, Shares
from processors.stream.room import IN_FLIGHT, Room


class Worker:
    """The room and the shares of some tenants."""

    def __init__(self, tenants: int, topic: str = "events") -> None:
        outbox: Any = SimpleNamespace(waiting=0)
        registry: Any = SimpleNamespace(generation=1, tenants=lambda: (None,) * tenants)
        self.topic, self.room = topic, Room(outbox, {"again": 100})
        self.shares = Shares(registry, self.room, topic)

    def fill(self, tenant: str) -> int:
        """Let a tenant begin events until one is over; that one is set aside, and what is left in flight is told."""
        count = 0
        while True:
            self.room.take(self.topic, 1)
            self.shares.enter(tenant)
            if self.shares.over(tenant):
                self.shares.leave(tenant)
                self.room.finish(self.topic, 1)
                return count
            count += 1


def test_who_is_busy_alone_leaves_half_of_the_worker_to_whoever_comes() -> None:
    assert Worker(50).fill("one") == IN_FLIGHT // 2
    assert Worker(1).fill("one") == IN_FLIGHT


def test_who_comes_finds_room_and_never_less_than_its_share() -> None:
    worker = Worker(50)
    found = [worker.fill(f"tenant-{n}") for n in range(MOST_SHARES)]
    assert found == sorted(found, reverse=True)
    share = IN_FLIGHT // MOST_SHARES
    assert found[1] == IN_FLIGHT // 4
    assert all(count >= share for count in found[:7]), found


def test_what_was_lent_is_asked_back_first() -> None:
    worker = Worker(50)
    worker.fill("one")
    assert not worker.shares.over("one")
    worker.fill("two")
    assert worker.shares.over("one"), "the next event of who has most is set aside"
    assert not worker.shares.over("two")


def test_what_is_given_again_has_shares_of_its_own_room() -> None:
    worker = Worker(50, "again")
    worker.room.take("events", 1)
    assert (worker.fill("one"), worker.fill("two")) == (50, 25)
