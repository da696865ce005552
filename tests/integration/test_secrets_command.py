# SPDX-License-Identifier: Apache-2.0
"""
`evb secrets create` and `rotate` keep a secret of the operator's only where the command itself names it; `reencrypt` reaches all.
"""

from __future__ import annotations

import asyncio

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from bridge.cli import checks
from bridge.cli.secrets import app
from bridge.credentials import Vault
from bridge.registry.session import changing, reading
from bridge.registry.webhook import Webhook
from bridge.registry.webhooks import Wish, create_webhook
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


def subscribed(settings: Settings) -> Webhook:
    """A webhook of acme's, whose secret is encrypted under the first of the keys."""
    wish = Wish("mine", "https://example.com/", OWN, ("*",), enabled=True, addresses=(), batch=0)

    async def make() -> Webhook:
        async with changing(settings) as changes:
            return await create_webhook(changes, Vault(settings.secret_keys.get_secret_value()), "acme", wish)

    return asyncio.run(make())


def examined(settings: Settings, keys: str) -> list[str]:
    """What `evb doctor` finds of the secrets under these keys."""
    other = settings.model_copy(update={"secret_keys": SecretStr(keys)})
    with checks.followed(other) as registry:
        return [one.found for one in checks.secrets(other, registry)]


def test_the_secret_of_a_webhook_moves_to_a_new_key_and_a_lost_key_is_told(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=1)
    make_tenants(settings, "acme")
    old, new, hook = settings.secret_keys.get_secret_value(), Fernet.generate_key().decode(), subscribed(settings)
    whole = "all 1 signing secrets and 1 webhooks' secrets can be decrypted"
    assert examined(settings, old) == [whole]
    assert examined(settings, new) == [
        "1 of 1 signing secrets cannot be decrypted: acme/hooks-acme",
        f"1 of 1 webhooks' secrets cannot be decrypted: acme/{hook.id}",
    ]
    done = CliRunner().invoke(app, ["reencrypt"], env=as_environ(settings) | {"EVB_SECRET_KEYS": new})
    assert done.exit_code == 1
    assert f"acme/webhooks/{hook.id} cannot be opened with any key" in done.output
    done = CliRunner().invoke(app, ["reencrypt"], env=as_environ(settings) | {"EVB_SECRET_KEYS": f"{new},{old}"})
    assert done.exit_code == 0, done.output
    assert "✓ 2 secrets encrypted anew" in done.output
    with reading(settings) as registry:
        (moved,) = registry.webhooks.of("acme")
    assert Vault(new).open(moved.ciphertext) == OWN.encode()
    assert examined(settings, new) == [whole]
