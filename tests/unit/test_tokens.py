# SPDX-License-Identifier: Apache-2.0
"""Our own tokens: what signs them, what opens them, and that nothing else does."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from bridge.credentials import digest
from bridge.decisions.facts import Line
from bridge.domain.errors import NotAllowed, NotAuthenticated, Unavailable
from bridge.domain.principal import Scope, TokenScope
from bridge.registry.ingress import OAuthClient
from bridge.registry.objects import Tenant, encode, ref_of
from bridge.registry.view import View
from bridge.settings import Settings
from bridge.tokens.holder import LIFETIME_S
from bridge.tokens.signing import Signer
from bridge.tokens.tokens import Tokens

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
ISSUER = "urn:event-bridge:bridge"
SECRET = "evbc_of-the-test"


def now() -> int:
    return int(time.time())


class House:
    """A registry with one tenant and one client, and the tokens of a process over it."""

    def __init__(self, keys: str = NEW) -> None:
        self.registry = View(lambda text: text.encode())
        self.version = 0
        self.client = OAuthClient(
            id="c1", tenant="acme", name="billing", digest=digest(SECRET).hex(), hint="…", scopes=tuple(map(str, TokenScope))
        )
        self.put(Tenant(name="acme"))
        self.put(self.client)
        self.tokens = Tokens(Settings(secret_keys=keys), self.registry)

    def put(self, value: Any) -> None:
        self.version += 1
        line = Line(0, ref_of(value).record_key(self.version), encode(value), b"0", 0)
        assert self.registry.apply([line])

    def changed(self, **members: Any) -> None:
        fields = {name: getattr(self.client, name) for name in self.client.__struct_fields__} | members
        self.put(OAuthClient(**fields))


async def test_a_token_says_whose_it_is_and_what_it_allows() -> None:
    house = House()
    issued = house.tokens.issue("c1", SECRET, ["fenx.webhooks", "fenx.eventingress"])
    holder = await house.tokens.holder(issued.text)
    assert (holder.tenant, holder.client, holder.scopes) == ("acme", "billing", {"fenx.webhooks", "fenx.eventingress"})
    assert (issued.lifetime_s, issued.scopes) == (LIFETIME_S, ("fenx.webhooks", "fenx.eventingress")) == (900, issued.scopes)
    principal = holder.require(TokenScope.EVENT_INGRESS)
    assert (principal.tenant, principal.may(Scope.EVENTS_WRITE), principal.may(Scope.ADMIN)) == ("acme", True, False)
    with pytest.raises(NotAllowed, match=r"fenx\.eventnotifications"):
        holder.require(TokenScope.EVENT_NOTIFICATIONS)


async def test_without_scopes_it_has_all_of_the_clients_and_never_more() -> None:
    house = House()
    assert set(house.tokens.issue("c1", SECRET, []).scopes) == set(TokenScope)
    house.changed(scopes=("fenx.webhooks",))
    assert house.tokens.issue("c1", SECRET, []).scopes == ("fenx.webhooks",)
    with pytest.raises(NotAllowed):
        house.tokens.issue("c1", SECRET, ["fenx.eventingress"])


@pytest.mark.parametrize(
    "change", [{"state": "revoked"}, {"expires_ms": 1}, {"tenant": "other"}], ids=["revoked", "expired", "other-tenant"]
)
async def test_a_token_is_worth_what_its_client_is(change: dict[str, Any]) -> None:
    house = House()
    text = house.tokens.issue("c1", SECRET, []).text
    house.changed(**change)
    with pytest.raises(NotAuthenticated):
        await house.tokens.holder(text)
    with pytest.raises(NotAuthenticated):
        house.tokens.issue("c1", SECRET, [])


async def test_a_closed_tenants_clients_get_nothing_and_open_nothing() -> None:
    house = House()
    text = house.tokens.issue("c1", SECRET, []).text
    house.put(Tenant(name="acme", state="closed"))
    with pytest.raises(NotAuthenticated):
        await house.tokens.holder(text)
    with pytest.raises(NotAuthenticated):
        house.tokens.issue("c1", SECRET, [])


@pytest.mark.parametrize(("client", "secret"), [("c1", ""), ("c1", SECRET + "x"), ("c2", SECRET), ("", ""), ("c\0", "ä")])
def test_a_wrong_client_or_secret_gets_nothing(client: str, secret: str) -> None:
    with pytest.raises(NotAuthenticated):
        House().tokens.issue(client, secret, [])


def test_the_first_key_signs_and_every_one_verifies() -> None:
    before, both, after = (Signer(keys, ISSUER) for keys in (OLD, f"{NEW},{OLD}", NEW))
    old = before.sign("acme", "c1", ["s"], now())
    assert both.read(old)["tenant"] == "acme"
    new = both.sign("acme", "c1", ["s"], now())
    assert after.read(new)["client_id"] == "c1"
    for signer, text in ((after, old), (before, new)):
        with pytest.raises(NotAuthenticated):
            signer.read(text)
    with pytest.raises(Unavailable):
        Signer("", ISSUER).sign("acme", "c1", ["s"], now())
    with pytest.raises(NotAuthenticated):
        Signer("", ISSUER).read(new)


def test_a_token_lasts_900_seconds_and_belongs_to_one_installation() -> None:
    signer = Signer(NEW, ISSUER)
    assert signer.read(signer.sign("acme", "c1", ["s"], now() - LIFETIME_S + 5))
    with pytest.raises(NotAuthenticated):
        signer.read(signer.sign("acme", "c1", ["s"], now() - LIFETIME_S))
    with pytest.raises(NotAuthenticated):
        Signer(NEW, "urn:event-bridge:other").read(signer.sign("acme", "c1", ["s"], now()))


def claims(**changes: Any) -> dict[str, Any]:
    plain = {"iss": ISSUER, "client_id": "c1", "tenant": "acme", "scope": "fenx.webhooks", "exp": now() + 60}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def own_key() -> OctKey:
    return Signer(NEW, ISSUER)._keys[0]


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: None} for name in ("iss", "client_id", "tenant", "scope", "exp")),
        *({name: 7} for name in ("iss", "client_id", "tenant", "scope")),
        {"exp": "9999999999"},
        {"exp": float("nan")},
        {"iat": "x"},
        {"nbf": 9_999_999_999},
    ],
    ids=str,
)
def test_a_token_of_ours_without_its_claims_is_none(wrong: dict[str, Any]) -> None:
    signer = Signer(NEW, ISSUER)
    assert signer.read(jwt.encode({"alg": "HS256"}, claims(), own_key()))
    with pytest.raises(NotAuthenticated):
        signer.read(jwt.encode({"alg": "HS256"}, claims(**wrong), own_key()))


def test_other_algorithms_and_other_keys_open_nothing() -> None:
    signer = Signer(NEW, ISSUER)
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = jwt.encode({"alg": "HS256"}, claims(), own_key()).split(".")[1]
    raw = OctKey.import_key(base64.urlsafe_b64decode(NEW))
    for text in (
        f"{none}.{body}.",
        jwt.encode({"alg": "RS256"}, claims(), RSAKey.generate_key(2048)),
        jwt.encode({"alg": "HS256"}, claims(), raw),
        jwt.encode({"alg": "HS512"}, claims(), own_key(), algorithms=["HS512"]),
        jwt.encode({"alg": "HS256"}, claims(x="y" * 9000), own_key()),
    ):
        with pytest.raises(NotAuthenticated):
            signer.read(text)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True))
def test_any_text_is_no_token(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        Signer(NEW, ISSUER).read(text)


def test_a_header_of_a_thousand_brackets_is_no_token() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    with pytest.raises(NotAuthenticated):
        Signer(NEW, ISSUER).read(f"{deep}.e30.x")
