# SPDX-License-Identifier: Apache-2.0
"""Clients of the Event Ingress dialect: made, listed, rotated and revoked by the command."""

from __future__ import annotations

import time
from functools import partial

import pytest

from bridge.credentials import digest
from bridge.domain.errors import Conflict, InvalidValue, Misconfigured, NotFound
from bridge.domain.principal import TokenScope
from bridge.registry.ingress import OAuthClient
from bridge.registry.session import reading
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.operator_secrets import evb_secrets
from tests.web_under_test import make_tenants

secrets = partial(evb_secrets, "eventingress")


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme")
    return found


def client(settings: Settings, id_: str) -> OAuthClient:
    """Find a client in a registry that was read after the last change."""
    with reading(settings) as registry:
        found = registry.ingress.client(id_)
        assert found is not None
        return found


def valid(one: OAuthClient) -> bool:
    return one.valid(int(time.time() * 1000))


def test_a_client_has_a_secret_of_256_bits_that_is_kept_as_a_digest(settings: Settings) -> None:
    made = secrets(settings, "create", "billing", "--json")
    found = client(settings, made["client_id"])
    assert (made["tenant"], made["name"], found.tenant, found.name) == ("acme", "billing", "acme", "billing")
    assert set(found.scopes) == set(made["scopes"]) == set(TokenScope)
    assert len(made["client_secret"].removeprefix("evbc_")) == 43
    assert found.digest == digest(made["client_secret"]).hex()
    assert valid(found)


def test_scopes_can_be_chosen_and_unknown_ones_are_refused(settings: Settings) -> None:
    made = secrets(settings, "create", "narrow", "--scopes", "fenx.webhooks", "--json")
    assert client(settings, made["client_id"]).scopes == ("fenx.webhooks",)
    with pytest.raises(InvalidValue, match=r"No scope fenx.other; there are: fenx.eventingress"):
        secrets(settings, "create", "wrong", "--scopes", "fenx.other", "--json")


def test_the_old_client_counts_until_the_overlap_is_over(settings: Settings) -> None:
    old = secrets(settings, "create", "turning", "--scopes", "fenx.webhooks", "--json")
    new = secrets(settings, "rotate", "acme", "turning", "--json")
    assert valid(client(settings, old["client_id"]))
    assert client(settings, new["client_id"]).scopes == ("fenx.webhooks",)
    newest = secrets(settings, "rotate", "acme", new["client_id"], "--overlap", "0s", "--json")
    assert not valid(client(settings, new["client_id"]))
    assert valid(client(settings, newest["client_id"]))


def test_a_revoked_client_is_useless(settings: Settings) -> None:
    made = secrets(settings, "create", "gone", "--json")
    assert "is revoked" in secrets(settings, "revoke", "acme", "gone")
    assert not valid(client(settings, made["client_id"]))
    with pytest.raises(Conflict, match="revoked or expired"):
        secrets(settings, "rotate", "acme", made["client_id"])


def test_what_is_wrong_is_said(settings: Settings) -> None:
    secrets(settings, "create", "twice", "--json")
    with pytest.raises(Conflict, match="has a client twice already"):
        secrets(settings, "create", "twice", "--json")
    with pytest.raises(NotFound):
        secrets(settings, "revoke", "acme", "nobody")
    without = settings.model_copy(update={"secret_keys": type(settings.secret_keys)("")})
    with pytest.raises(Misconfigured, match="EVB_SECRET_KEYS is empty"):
        secrets(without, "create", "unsigned", "--json")


def test_the_list_shows_hints_only(settings: Settings) -> None:
    made = secrets(settings, "create", "shown", "--json")
    said = secrets(settings, "list", "acme")
    assert made["client_id"][:12] in said
    assert made["client_secret"] not in said
