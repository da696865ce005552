# SPDX-License-Identifier: Apache-2.0
"""Event types in the registry: a tenant's own, beside those that everybody has and nobody changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.registry import event_types
from bridge.registry.changes import Changes
from bridge.registry.event_types import create_event_type, delete_event_type, replace_event_type
from bridge.registry.ingress import EventSubtype, EventType
from bridge.registry.session import changing, reading
from bridge.registry.system_types import SYSTEM_TYPES
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.web_under_test import make_tenants


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme", "other")
    return found


def event_type(key: str, *subtypes: str, tenant: str = "acme") -> EventType:
    made = tuple(EventSubtype(key=one, display_name=one.title(), business_process="updateentity") for one in subtypes)
    return EventType(tenant=tenant, key=key, display_name=key.title(), subtypes=made)


def change(settings: Settings, what: Callable[[Changes], Awaitable[None]]) -> None:
    async def run() -> None:
        async with changing(settings) as changes:
            await what(changes)

    asyncio.run(run())


def known(settings: Settings, tenant: str = "acme") -> dict[str, EventType]:
    with reading(settings) as registry:
        return {one.key: one for one in registry.ingress.event_types(tenant)}


def test_a_type_is_made_replaced_deleted_and_made_again(settings: Settings) -> None:
    first, second = event_type("orders", "new", "gone"), event_type("orders", "new", "paid")
    change(settings, lambda changes: create_event_type(changes, first))
    assert known(settings)["orders"] == first
    assert "orders" not in known(settings, "other")
    change(settings, lambda changes: replace_event_type(changes, second))
    assert known(settings)["orders"] == second
    change(settings, lambda changes: delete_event_type(changes, "acme", "orders"))
    assert "orders" not in known(settings)
    with pytest.raises(NotFound):
        change(settings, lambda changes: replace_event_type(changes, second))
    with pytest.raises(NotFound):
        change(settings, lambda changes: delete_event_type(changes, "acme", "orders"))
    change(settings, lambda changes: create_event_type(changes, first))
    assert known(settings)["orders"] == first


def test_a_key_is_taken_once(settings: Settings) -> None:
    change(settings, lambda changes: create_event_type(changes, event_type("once", "a")))
    for key in ("once", "externaldata"):
        with pytest.raises(Conflict, match="already"):
            change(settings, lambda changes, key=key: create_event_type(changes, event_type(key, "a")))
    change(settings, lambda changes: create_event_type(changes, event_type("once", "a", tenant="other")))


def test_types_and_keys_are_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = partial(event_type, tenant="bounded")
    asyncio.run(_make_tenant(settings, "bounded"))
    monkeypatch.setattr(event_types, "MOST_TYPES", 2)
    monkeypatch.setattr(event_types, "MOST_KEYS", 3)
    for key in ("a", "b"):
        change(settings, lambda changes, key=key: create_event_type(changes, mine(key, "x")))
    with pytest.raises(InvalidValue, match="at most 2 event types"):
        change(settings, lambda changes: create_event_type(changes, mine("c", "x")))
    change(settings, lambda changes: delete_event_type(changes, "bounded", "a"))
    change(settings, lambda changes: create_event_type(changes, mine("c", "x")))
    change(settings, lambda changes: delete_event_type(changes, "bounded", "b"))
    with pytest.raises(InvalidValue, match="at most 3 keys"):
        change(settings, lambda changes: create_event_type(changes, mine("d", "x")))
    change(settings, lambda changes: create_event_type(changes, mine("a", "x")))
    assert set(known(settings, "bounded")) == {"a", "c"}


async def _make_tenant(settings: Settings, name: str) -> None:
    async with changing(settings) as changes:
        await create_tenant(changes, name)


@pytest.mark.parametrize("key", SYSTEM_TYPES)
def test_what_everybody_has_is_changed_by_nobody(settings: Settings, key: str) -> None:
    with pytest.raises(InvalidValue, match=r"^System-defined event type cannot be deleted\.$"):
        change(settings, lambda changes: delete_event_type(changes, "acme", key))
    with pytest.raises(InvalidValue, match=r"^System-defined event type cannot be updated\.$"):
        change(settings, lambda changes: replace_event_type(changes, event_type(key, "a")))


@pytest.mark.parametrize(
    "wrong",
    [event_type("Upper", "a"), event_type("a.b", "a"), event_type("x", "A"), event_type("x"), event_type("x", "a", "a")],
    ids=["upper-case", "dots", "upper-case-subtype", "no-subtypes", "twice"],
)
def test_a_wrong_type_is_refused(settings: Settings, wrong: EventType) -> None:
    with pytest.raises(InvalidValue):
        change(settings, lambda changes: create_event_type(changes, wrong))
