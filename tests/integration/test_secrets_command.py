# SPDX-License-Identifier: Apache-2.0
"""`evb secrets create` and `rotate` keep a secret of the operator's only where the command itself names it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from bridge.cli.secrets import app
from bridge.credentials import Vault
from bridge.registry.session import reading
from bridge.settings import Settings
from tests.conftest import StackOfTests, as_environ
from tests.web_under_test import make_tenants

EXPORTED, OWN = "exported-for-trigger", "chosen-by-hand"


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme")
    return found


def secrets(settings: Settings, *arguments: str, given: str = "") -> Result:
    """Run the command in a shell that has exported a secret for `evb trigger`."""
    environ = as_environ(settings) | {"EVB_SIGNING_SECRET": EXPORTED}
    return CliRunner().invoke(app, arguments, input=given, env=environ)


def kept(settings: Settings, source: str) -> set[str]:
    """Decrypt what the registry holds for a source."""
    vault = Vault(settings.secret_keys.get_secret_value())
    with reading(settings) as registry:
        return {vault.open(one.ciphertext).decode() for one in registry.secrets("acme") if one.source == source}


def test_an_exported_secret_is_not_taken_for_the_one_to_keep(settings: Settings) -> None:
    made = secrets(settings, "create", "acme", "--source", "shop")
    assert made.exit_code == 0, made.output
    rotated = secrets(settings, "rotate", "acme", "shop")
    assert rotated.exit_code == 0, rotated.output
    assert len(kept(settings, "shop") - {EXPORTED}) == 2, "one was made by each command"


def test_a_secret_is_kept_where_the_command_names_it(settings: Settings) -> None:
    for source, option, given in (("option", OWN, ""), ("stdin", "-", f"{OWN}\n")):
        done = secrets(settings, "create", "acme", "--source", source, "--secret", option, given=given)
        assert done.exit_code == 0, done.output
        assert kept(settings, source) == {OWN}


@pytest.mark.parametrize("option", ["", "-"])
def test_an_empty_secret_is_refused_instead_of_replaced(settings: Settings, option: str) -> None:
    done = secrets(settings, "create", "acme", "--source", "empty", "--secret", option, given="\n")
    assert done.exit_code != 0
    assert "--secret names no secret" in str(done.exception)
    assert kept(settings, "empty") == set()
