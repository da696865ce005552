# SPDX-License-Identifier: Apache-2.0
"""Tenants take turns at places that are too few, and none can take them all."""

from __future__ import annotations

import asyncio

from processors.calls.turns import Turns


class Visits:
    """Holds places until told to let go, and notes who got one, in order."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.got = turns, list[str]()
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self.leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._visit(name))
        await asyncio.sleep(0)

    async def _visit(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.got.append(name)
            await self.leave[name].wait()

    async def go(self, name: str) -> None:
        self.leave[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)


async def test_a_tenant_leaves_places_to_others() -> None:
    visits = Visits(Turns(4, each=3))
    await visits.come("a1", "a2", "a3", "a4", "a5", "b1")
    assert visits.got == ["a1", "a2", "a3", "b1"]
    await visits.go("b1")
    assert visits.got[4:] == []
    await visits.go("a1")
    assert visits.got[4:] == ["a4"]


async def test_they_take_turns_where_there_are_too_few() -> None:
    visits = Visits(Turns(2, each=2))
    await visits.come("a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1")
    for name in ("a1", "a2", "a3", "b1", "c1"):
        await visits.go(name)
    assert visits.got == ["a1", "a2", "a3", "b1", "c1", "a4", "b2"]


async def test_whoever_gives_up_waiting_costs_nobody_a_place() -> None:
    visits = Visits(Turns(1, each=1))
    await visits.come("a1", "b1", "c1")
    visits.tasks["b1"].cancel()
    await visits.go("a1")
    assert visits.got == ["a1", "c1"]
    await visits.come("d1")
    visits.leave["c1"].set()
    await asyncio.sleep(0)
    visits.tasks["d1"].cancel()  # at the moment when the place is given
    await asyncio.wait([visits.tasks["c1"], visits.tasks["d1"]])
    await visits.come("e1")
    assert visits.got[-1] == "e1"
