# SPDX-License-Identifier: Apache-2.0
"""Secret options are encrypted wherever a Config hides them, opened for the process, and shown to nobody."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretBytes, SecretStr

from bridge.credentials import Vault
from bridge.domain.errors import InvalidValue, Misconfigured
from bridge.registry.options import MASK, opened, resealed, sealed, shown

KEY, OTHER = Fernet.generate_key().decode(), Fernet.generate_key().decode()


class Login(BaseModel):
    user: str
    password: SecretStr


class Plain(BaseModel):
    retries: int = 3


class Options(BaseModel):
    url: str
    secret: SecretStr | None = None
    token: SecretBytes = SecretBytes(b"")
    headers: dict[str, SecretStr] = {}
    login: Login | None = None
    logins: list[Login] = []
    renamed: SecretStr = Field(SecretStr(""), alias="apiKey")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, SecretStr]


class Tree(BaseModel):
    name: SecretStr
    children: list[Tree] = []


class NoSecret(BaseModel):
    url: str
    plain: Plain = Plain()


GIVEN: dict[str, Any] = {
    "url": "https://shop.example",
    "secret": "hunter2",
    "token": "hunter2",
    "headers": {"authorization": "hunter2"},
    "login": {"user": "me", "password": "hunter2"},
    "logins": [{"user": "me", "password": "hunter2"}],
    "apiKey": "hunter2",
}


@pytest.mark.parametrize(
    ("model", "given", "clear"),
    [
        (Options, GIVEN, {"url"}),
        (Open, {"anything": "hunter2"}, set()),
        (Tree, {"name": "hunter2", "children": [{"name": "hunter2"}]}, set()),
        (RootModel[dict[str, SecretStr]], {"a": "hunter2"}, set()),
    ],
)
def test_no_secret_is_kept_in_the_clear(model: type[BaseModel], given: dict[str, Any], clear: set[str]) -> None:
    vault = Vault(KEY)
    kept = sealed(given, model, vault)
    assert "hunter2" not in str(kept)
    assert {name for name in given if kept[name] == given[name]} == clear
    assert opened(kept, vault.open) == given
    model.model_validate(opened(kept, vault.open))
    assert shown(kept) == {name: given[name] if name in clear else MASK for name in given}


def test_what_has_no_secret_stays_as_it_is_and_needs_no_key() -> None:
    given = {"url": "https://shop.example", "plain": {"retries": 1}}
    assert sealed(given, NoSecret, Vault("")) == given
    assert resealed(given, Vault("")) is None
    assert sealed({"url": "x", "secret": None}, Options, Vault("")) == {"url": "x", "secret": None}


def test_a_secret_needs_a_key_and_its_key() -> None:
    with pytest.raises(Misconfigured, match="EVB_SECRET_KEYS"):
        sealed(GIVEN, Options, Vault(""))
    kept = sealed({"url": "x", "secret": "hunter2"}, Options, Vault(KEY))
    with pytest.raises(ValueError, match="the secret secret cannot be opened: it was encrypted under a key"):
        opened(kept, Vault(OTHER).open)


def test_what_is_sealed_already_is_not_taken() -> None:
    kept = sealed(GIVEN, Options, Vault(KEY))
    with pytest.raises(InvalidValue, match=r"headers.*give the secret itself"):
        sealed(kept, Options, Vault(KEY))


def test_the_keys_can_be_changed() -> None:
    kept = sealed(GIVEN, Options, Vault(KEY))
    fresh = resealed(kept, Vault(f"{OTHER},{KEY}"))
    assert fresh is not None
    assert opened(fresh, Vault(OTHER).open) == GIVEN
