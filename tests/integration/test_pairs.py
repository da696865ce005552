# SPDX-License-Identifier: Apache-2.0
"""Secret keys with a test and a live value: made, rotated and revoked by the command, and what they open."""

from __future__ import annotations

from functools import partial

import pytest

from bridge.authenticate import PairHolder, by_api_key, by_pair
from bridge.domain.errors import Conflict, InvalidValue, NotAuthenticated, NotFound
from bridge.registry.session import reading
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.operator_secrets import evb_secrets
from tests.web_under_test import make_tenants

secrets = partial(evb_secrets, "buildable")


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme")
    return found


def holder(settings: Settings, text: str) -> PairHolder:
    """Authenticate with a registry that was read after the last change."""
    with reading(settings) as registry:
        return by_pair(registry, "buildable", text)


def test_the_value_says_the_environment_and_the_key_its_name(settings: Settings) -> None:
    made = secrets(settings, "create", "billing", "--json")
    assert (made["tenant"], made["name"]) == ("acme", "billing")
    for environment in ("test", "live"):
        assert made[environment].startswith(f"sk_{environment}_1_")
        found = holder(settings, made[environment])
        assert (found.principal.tenant, found.environment, found.name, found.id) == ("acme", environment, "billing", made["id"])


def test_it_opens_nothing_else_and_nothing_else_opens_it(settings: Settings) -> None:
    made = secrets(settings, "create", "other", "--tenant", "acme", "--json")
    with reading(settings) as registry, pytest.raises(NotAuthenticated):
        by_api_key(registry, made["live"])
    for wrong in ("", "sk_live_1_", made["live"] + "x", made["test"].replace("test", "live")):
        with pytest.raises(NotAuthenticated):
            holder(settings, wrong)


def test_old_values_count_until_the_overlap_is_over(settings: Settings) -> None:
    old = secrets(settings, "create", "turning", "--json")
    new = secrets(settings, "rotate", "acme", "turning", "--json")
    assert holder(settings, old["live"]).name == holder(settings, new["live"]).name == "turning"
    newest = secrets(settings, "rotate", "acme", new["id"], "--overlap", "0s", "--json")
    with pytest.raises(NotAuthenticated):
        holder(settings, new["test"])
    assert holder(settings, newest["test"]).environment == "test"


def test_a_revoked_one_opens_nothing(settings: Settings) -> None:
    made = secrets(settings, "create", "gone", "--json")
    assert "is revoked" in secrets(settings, "revoke", "acme", "gone")
    for environment in ("test", "live"):
        with pytest.raises(NotAuthenticated):
            holder(settings, made[environment])


def test_what_is_wrong_is_said(settings: Settings) -> None:
    secrets(settings, "create", "twice", "--json")
    with pytest.raises(Conflict, match="has a secret key twice already"):
        secrets(settings, "create", "twice", "--json")
    with pytest.raises(InvalidValue):
        secrets(settings, "create", "with.dot", "--json")
    with pytest.raises(NotFound):
        secrets(settings, "revoke", "acme", "nobody")


def test_a_tenant_must_be_named_where_there_are_several(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=1)
    make_tenants(settings, "acme", "second")
    with pytest.raises(InvalidValue, match="acme, second"):
        secrets(settings, "create", "whose", "--json")


def test_the_list_shows_hints_only(settings: Settings) -> None:
    made = secrets(settings, "create", "shown", "--json")
    said = secrets(settings, "list", "acme")
    assert made["id"] in said
    assert made["live"] not in said
    assert made["test"] not in said
