# SPDX-License-Identifier: Apache-2.0
"""Tokens of Flow's API: made, listed, rotated and revoked by the command, and what they open."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest

from bridge.authenticate import FlowCaller, by_api_key, by_flow_token
from bridge.credentials import digest
from bridge.domain.errors import Conflict, InvalidValue, NotAllowed, NotAuthenticated, NotFound
from bridge.domain.principal import FlowScope
from bridge.registry.session import changing, reading
from bridge.registry.tenants import find_tenant
from bridge.registry.workflows import apply_workflow
from bridge.settings import Settings
from bridge.workflows.reading import check
from tests.conftest import StackOfTests
from tests.integration.operator_secrets import evb_secrets
from tests.web_under_test import make_tenants

secrets = partial(evb_secrets, "flow")


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme")
    return found


def caller(settings: Settings, text: str) -> FlowCaller:
    """Authenticate with a registry that was read after the last change."""
    with reading(settings) as registry:
        return by_flow_token(registry, text)


@pytest.mark.parametrize(("kind", "prefix"), [("team", "bft_"), ("user", "bfu_"), ("global", "bfg_")])
def test_what_it_begins_with_says_its_kind_and_it_is_kept_as_a_digest(settings: Settings, kind: str, prefix: str) -> None:
    made = secrets(settings, "create", f"a-{kind}", "--kind", kind, "--json")
    assert made["token"].startswith(prefix)
    assert len(made["token"].removeprefix(prefix)) == 43
    found = caller(settings, made["token"])
    assert (found.tenant, found.name, found.scopes, found.workflow) == ("acme", f"a-{kind}", frozenset(FlowScope), "")
    with reading(settings) as registry:
        kept = registry.flow_tokens.token(digest(made["token"]))
    assert kept is not None
    assert (kept.id, kept.kind, kept.digest) == (made["id"], kind, digest(made["token"]).hex())


def test_a_workflow_token_opens_its_workflow_only(settings: Settings) -> None:
    async def apply() -> None:
        async with changing(settings) as changes:
            task = {"name": "wait", "type": "eventwait", "params": {"topic": "paid"}}
            await apply_workflow(changes, "acme", check({"name": "order", "tasks": [task]}))

    asyncio.run(apply())
    made = secrets(settings, "create", "of-order", "--kind", "workflow", "--workflow", "order", "--json")
    assert made["token"].startswith("bfw_")
    found = caller(settings, made["token"])
    assert (found.opens("order"), found.opens("other"), found.opens("")) == (True, False, False)
    with pytest.raises(NotFound, match="no workflow nothing"):
        secrets(settings, "create", "of-nothing", "--kind", "workflow", "--workflow", "nothing")
    for wrong in (["--kind", "workflow"], ["--workflow", "order"]):
        with pytest.raises(InvalidValue, match="names its workflow"):
            secrets(settings, "create", "wrong", *wrong)
    again = secrets(settings, "rotate", "acme", "of-order", "--json")
    assert (again["kind"], again["workflow"], again["token"][:4]) == ("workflow", "order", "bfw_")


def test_scopes_can_be_chosen_and_unknown_ones_are_refused(settings: Settings) -> None:
    made = secrets(settings, "create", "narrow", "--scopes", "workflowrun:read", "--json")
    found = caller(settings, made["token"])
    found.require(FlowScope.WORKFLOWRUN_READ)
    with pytest.raises(NotAllowed):
        found.require(FlowScope.WEBHOOK_ACTION)
    with pytest.raises(InvalidValue, match="No scope other; there are: webhook:action, workflowrun:read"):
        secrets(settings, "create", "wrong", "--scopes", "other")


def test_it_opens_nothing_else_and_nothing_else_opens_it(settings: Settings) -> None:
    made = secrets(settings, "create", "other", "--tenant", "acme", "--json")["token"]
    with reading(settings) as registry, pytest.raises(NotAuthenticated):
        by_api_key(registry, made)
    for wrong in ("", "bft_", made + "x", made.replace("bft_", "bfg_")):
        with pytest.raises(NotAuthenticated):
            caller(settings, wrong)


def test_the_old_token_counts_until_the_overlap_is_over(settings: Settings) -> None:
    old = secrets(settings, "create", "turning", "--json")
    new = secrets(settings, "rotate", "acme", "turning", "--json")
    assert caller(settings, old["token"]).name == caller(settings, new["token"]).name == "turning"
    newest = secrets(settings, "rotate", "acme", new["id"], "--overlap", "0s", "--json")
    with pytest.raises(NotAuthenticated):
        caller(settings, new["token"])
    assert caller(settings, newest["token"]).name == "turning"


def test_a_revoked_one_and_one_of_a_closed_tenant_open_nothing(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=1)
    make_tenants(settings, "acme")
    gone, left = (secrets(settings, "create", name, "--json") for name in ("gone", "left"))
    assert "is revoked" in secrets(settings, "revoke", "acme", "gone")
    with pytest.raises(NotAuthenticated):
        caller(settings, gone["token"])
    with pytest.raises(Conflict, match="revoked or expired"):
        secrets(settings, "rotate", "acme", gone["id"])
    assert caller(settings, left["token"]).tenant == "acme"

    async def close() -> None:
        async with changing(settings) as changes:
            tenant, version = find_tenant(changes, "acme")
            await changes.put(msgspec.structs.replace(tenant, state="closed"), version)

    asyncio.run(close())
    with pytest.raises(NotAuthenticated):
        caller(settings, left["token"])


def test_what_is_wrong_is_said_and_the_list_shows_hints_only(settings: Settings) -> None:
    made = secrets(settings, "create", "twice", "--json")
    with pytest.raises(Conflict, match="has a token twice already"):
        secrets(settings, "create", "twice")
    with pytest.raises(NotFound):
        secrets(settings, "revoke", "acme", "nobody")
    said = secrets(settings, "list", "acme")
    assert made["id"] in said
    assert made["token"] not in said
