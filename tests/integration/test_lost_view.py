# SPDX-License-Identifier: Apache-2.0
"""The view is lost while events go on, and comes back by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.domain.errors import NotFound, ViewUnavailable
from bridge.domain.event import Event
from bridge.domain.execution import Execution
from bridge.redis.epoch import ViewGuard
from bridge.redis.gate import Entrant, Gate
from bridge.redis.settlement import Settlement
from bridge.view.keeper import ViewKeeper
from tests.conftest import StackOfTests
from tests.integration.rebuilding import Site, outcome_of, own_site
from tests.integration.valkey import OwnValkey
from tests.integration.view_facts import Stored, make_event, ms_now, until


@pytest.mark.timeout(120)
async def test_a_view_that_is_lost_under_load_comes_back_by_itself(tmp_path: Path, stack: StackOfTests) -> None:
    async with own_site(tmp_path, stack) as (site, own):
        await _lost_under_load(site, own)


async def _lost_under_load(site: Site, own: OwnValkey) -> None:
    """Go on accepting and executing while Valkey is emptied once and killed once, then compare every status with Kafka."""
    keepers, guard = [ViewKeeper(site.pipe, site.settings) for _ in range(2)], ViewGuard(site.pipe, site.settings)
    keeping = [asyncio.create_task(one.run()) for one in (*keepers, guard)]
    settlement = Settlement(Gate(site.pipe, site.settings), guard, asyncio.get_running_loop())
    told: list[tuple[Stored, list[Execution]]] = []
    for turn in range(30):
        events = [make_event(turn * 100 + n) for n in range(100)]
        entrants = [await _let_in(site, one) for one in events]
        stored = await asyncio.to_thread(site.log.events, events)
        for entrant, one in zip(entrants, stored, strict=True):
            settlement.say((entrant, "o", f"{one.position.partition}:{one.position.offset}"))
        outcomes = [outcome_of(n, one) for n, one in enumerate(stored)]
        await asyncio.to_thread(site.record, [execution for executions in outcomes for execution in executions])
        await asyncio.to_thread(site.finish, stored)
        told += zip(stored, outcomes, strict=True)
        if turn == 10:
            site.outside.flushall()
        if turn == 20:
            own.kill()
            own.start()

    async def whole() -> bool:
        try:
            return not settlement.busy and bool(await site.status.event("acme", told[-1][0].event.key))
        except (ViewUnavailable, NotFound):
            return False

    await until(whole, 60)
    await site.written()
    for stored_one, executions in told:
        view = await site.status.event(stored_one.event.tenant, stored_one.event.key)
        assert view.position == stored_one.position
        last = {execution.execution_id: execution for execution in executions}
        assert {execution.execution_id: execution for execution in view.executions} == last
    assert sum(keeper.last is not None for keeper in keepers) >= 1
    for task in keeping:
        task.cancel()
    await asyncio.wait(keeping)


async def _let_in(site: Site, event: Event) -> Entrant:
    """Reserve an event as the intake does, which goes on without Redis."""
    try:
        return await site.door.reserve(event, ms_now())
    except ViewUnavailable:
        return Entrant(event, event.id == event.key, ms_now(), ("record",))
