# SPDX-License-Identifier: Apache-2.0
"""The view is lost and comes back from Kafka as it was: every status, event and known id."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from uuid_utils import uuid7

from bridge.domain.errors import NotFound, ViewUnavailable
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.domain.ids import execution_id
from bridge.ingress.messages import Messages
from bridge.redis.epoch import ViewGuard
from bridge.topics import worker_group
from bridge.view.rebuild import rebuild
from processors.stream.app import make_app
from tests.conftest import StackOfTests
from tests.integration.rebuilding import Site, outcome_of, own_site
from tests.integration.view_facts import Stored, chunks, everything, make_event, ms_now

MANY = int(os.environ.get("TEST_REBUILD", "20000"))


@pytest.fixture
async def site(tmp_path: Path, stack: StackOfTests) -> AsyncIterator[Site]:
    async with own_site(tmp_path, stack) as (found, _):
        yield found


async def filled(site: Site, count: int) -> list[Stored]:
    """Live through `count` events: accepted at the door, emitted, executed, passed."""
    events = [make_event(n, tenant=("acme", "beta")[n % 2], correlation_id="tree" if n % 100 == 7 else "") for n in range(count)]
    stored = site.log.events(events)
    for some in chunks(stored, 200):
        await asyncio.gather(*(site.door.accept(one) for one in some))
    emitted = [make_event(count + n, correlation_id=events[n].key, causationid="x", hops="1") for n in range(0, count, 50)]
    for one in site.log.events(emitted):
        site.projection.emitted(one.event, one.accepted_ms, one.position.partition, one.position.offset)
        stored.append(one)
    site.record([execution for n, one in enumerate(stored) for execution in outcome_of(n, one)])
    site.finish(stored)
    await site.written()
    return stored


def without_passed_expectations(found: dict[str, object]) -> dict[str, object]:
    """Leave out what no look-up shows any more: what was expected of events that the router has since passed."""
    hidden = {name for name, value in found.items() if isinstance(value, str) and value.startswith("-1|")}
    members = {f"x:{name.rpartition(':')[2]}" for name in hidden}
    return {name: value - members if isinstance(value, set) else value for name, value in found.items() if name not in hidden}


@pytest.mark.timeout(240)
async def test_everything_is_as_before(site: Site) -> None:
    stored = await filled(site, MANY)
    await site.rebuilt()
    before = without_passed_expectations(everything(site.outside, site.settings))
    views = [await site.status.event(one.event.tenant, one.event.key) for one in stored[:200]]
    tree = await site.status.correlation("beta", "tree")
    assert tree.executions
    site.outside.flushall()
    with pytest.raises(ViewUnavailable):
        await site.status.event("acme", stored[0].event.key)
    report = await site.rebuilt()
    after = everything(site.outside, site.settings)
    assert len(before) > 3 * MANY
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert set(after) == set(before)
    assert (report.events, report.unreadable) == (len(stored), 0)
    assert report.seconds < 60 * MANY / 100_000 + 10
    assert [await site.status.event(one.event.tenant, one.event.key) for one in stored[:200]] == views
    assert await site.status.correlation("beta", "tree") == tree
    print(f"\n{report.events} events, {report.executions} records in {report.seconds:.2f} s")


def make_message(tenant: str, **attributes: str) -> Event:
    """A message of the Event Ingress dialect, as its door makes it."""
    key = str(uuid7())
    given = {"specversion": "1.0", "id": key, "source": "/eventingress", "type": "eventingress.a.b.process", "eventkey": key}
    return Event(given | {"tenantid": tenant, "correlationid": key} | attributes, b'{"a": 1}')


async def test_messages_that_only_the_worker_knew_of_are_listed_as_before(site: Site) -> None:
    texts = {"entityid": "e", "ingresssource": "s%0A", "ingresscorrelation": "c", "ingresspriority": "-3"}
    messages = [make_message(tenant, **(texts if n % 2 else {})) for n in range(20) for tenant in ("acme", "beta")]
    odd = [make_message("acme", type="eventingress.a.b"), make_message("acme", ingresspriority="x"), make_event(1)]
    stored = site.log.events([*messages, *odd])
    for one in stored:
        await site.door.accept(one)
        site.projection.taken(one.event, one.accepted_ms)
    site.finish(stored)
    await site.written()
    assert site.outside.zcard(site.keys.messages("acme")) == site.outside.zcard(site.keys.messages("beta")) == 20
    await site.rebuilt()
    before = without_passed_expectations(everything(site.outside, site.settings))
    looking = Messages(site.pipe, site.settings, ViewGuard(site.pipe, site.settings), site.status)
    found = (await looking.page("acme", 0, ms_now() + 1000, 100, None)).messages
    assert {(one.row.source, one.row.priority, one.payload) for one in found} == {
        ("s\n", -3, b'{"a": 1}'),
        ("", None, b'{"a": 1}'),
    }
    site.outside.flushall()
    await site.rebuilt()
    assert everything(site.outside, site.settings) == before
    assert (await looking.page("acme", 0, ms_now() + 1000, 100, None)).messages == found


async def test_events_that_wait_for_the_router_are_pending_again(site: Site) -> None:
    passed, waiting = site.log.events([make_event(1), make_event(2)])
    for one in (passed, waiting):
        await site.door.accept(one)
    if passed.position.partition == waiting.position.partition:
        assert passed.position.offset < waiting.position.offset
    site.finish([passed])
    await site.written()
    await site.rebuilt()
    pending = await site.status.event("acme", waiting.event.key)
    assert [execution.status for execution in pending.executions] == [Status.PENDING]
    site.outside.flushall()
    assert await asyncio.to_thread(rebuild, site.settings, lambda tenant, event_type: ("record",)) is not None
    assert await site.status.event("acme", waiting.event.key) == pending
    assert (await site.status.event("acme", passed.event.key)).executions == ()
    name = execution_id(waiting.event.key, "record")
    assert (await site.status.execution("acme", name)).status == Status.PENDING


async def test_records_that_nobody_can_read_are_counted_and_passed_over(site: Site) -> None:
    bad = make_event(1)
    site.log.events([replace(bad, attributes={**bad.attributes, "tenantid": "acme", "specversion": "9"}), make_event(2)])
    report = await site.rebuilt()
    assert (report.events, report.unreadable) == (1, 1)


async def test_what_has_outlived_its_time_does_not_come_back(site: Site) -> None:
    (stored,) = site.log.events([make_event(1)])
    await site.rebuilt()
    assert await site.status.event("acme", stored.event.key)
    short = site.settings.model_copy(update={"retention_hours": 1})
    site.outside.flushall()
    old = make_event(2)
    site.log.event_at(old, ms_now() - 3_700_000)
    report = await asyncio.to_thread(rebuild, short)
    assert report is not None
    assert await site.status.event("acme", stored.event.key)
    with pytest.raises(NotFound):
        await site.status.event("acme", old.key)
    assert site.outside.ttl(site.keys.event("acme", stored.event.key)) <= 3600


def test_the_rebuild_asks_the_group_that_the_workers_are_in(stack: StackOfTests) -> None:
    settings = stack.settings()
    assert make_app(settings).conf.id == worker_group(settings)
