# SPDX-License-Identifier: Apache-2.0
"""The keys of an issuer outside: when they are asked for, and what its tokens must say."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from bridge.domain.errors import NotAuthenticated, Unavailable
from bridge.settings import Ingress
from bridge.tokens.outside import Outside
from bridge.tokens.public_keys import FAILED_S, MAX_AGE_S, UNKNOWN_S, PublicKeys, read_keys

RSA, OTHER = RSAKey.generate_key(2048, {"kid": "r1"}), RSAKey.generate_key(2048, {"kid": "r2"})
EC, OKP = ECKey.generate_key("P-256", {"kid": "e1"}), OKPKey.generate_key("Ed25519", {"kid": "o1"})
SHARED = OctKey.generate_key(256, {"kid": "shared"})
GIVEN = Ingress(issuer="https://id.test", jwks_url="https://id.test/keys", audience="bridge", tenant_claim="org")


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=isinstance(key, OctKey)) for key in keys]}).encode()


class Issuer:
    """What the issuer would answer, on a clock of our own; counts how often it was asked."""

    def __init__(self, *keys: Any) -> None:
        self.answer: bytes | None = document(*keys)
        self.asked, self.now = 0, 1000.0
        self.keys = PublicKeys("https://id.test/keys", self.fetch, lambda: self.now)

    def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.answer is None:
            raise OSError("refused")
        return self.answer


async def test_keys_are_fetched_once_and_again_when_they_are_old() -> None:
    issuer = Issuer(RSA)
    found = await asyncio.gather(*(issuer.keys.find("r1") for _ in range(20)))
    assert {key.kid for key in found} == {"r1"}
    assert issuer.asked == 1
    issuer.now += MAX_AGE_S - 1
    await issuer.keys.find("r1")
    assert issuer.asked == 1
    issuer.answer = document(OTHER)
    issuer.now += 1
    with pytest.raises(NotAuthenticated):
        await issuer.keys.find("r1")
    assert issuer.asked == 2, "a withdrawn key opens nothing once the set is old"


async def test_an_unknown_key_is_asked_for_once_a_minute() -> None:
    issuer = Issuer(RSA)
    await issuer.keys.find("r1")
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            await issuer.keys.find("r2")
    assert issuer.asked == 1
    issuer.answer = document(RSA, OTHER)
    issuer.now += UNKNOWN_S
    assert (await issuer.keys.find("r2")).kid == "r2"
    assert issuer.asked == 2


async def test_an_issuer_that_does_not_answer_is_no_wrong_token() -> None:
    issuer = Issuer(RSA)
    issuer.answer = None
    for _ in range(3):
        with pytest.raises(Unavailable):
            await issuer.keys.find("r1")
    assert issuer.asked == 1
    issuer.answer = document(RSA)
    issuer.now += FAILED_S
    assert await issuer.keys.find("r1")
    issuer.answer = None
    issuer.now += UNKNOWN_S
    for _ in range(3):
        with pytest.raises(Unavailable):
            await issuer.keys.find("r2")
        assert await issuer.keys.find("r1"), "the known keys still count"
    assert issuer.asked == 3


@pytest.mark.parametrize(
    "wrong",
    [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[1,{"kty":["RSA"]},{"kty":"RSA"}]}', document(SHARED)],
    ids=range(7),
)
async def test_a_set_of_no_use_is_no_set(wrong: bytes) -> None:
    issuer = Issuer(RSA)
    issuer.answer = wrong
    with pytest.raises(Unavailable):
        await issuer.keys.find("r1")


def test_secret_keys_and_keys_to_encrypt_with_are_left_out() -> None:
    encrypting = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"})
    assert set(read_keys(document(RSA, SHARED, encrypting, EC, OKP))) == {"r1", "e1", "o1"}


def claims(**changes: Any) -> dict[str, Any]:
    plain = {"iss": "https://id.test", "aud": "bridge", "org": "acme", "scope": "fenx.eventingress", "sub": "program"}
    return {n: v for n, v in (plain | {"exp": int(time.time()) + 60} | changes).items() if v is not None}


def outside(*keys: Any) -> Outside:
    return Outside(GIVEN, Issuer(*keys).keys)


def signed(key: Any, alg: str, said: dict[str, Any], **header: Any) -> str:
    return jwt.encode({"alg": alg, "kid": key.kid} | header, said, key, algorithms=[alg])


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (RSA, "PS384"), (EC, "ES256"), (OKP, "Ed25519")], ids=["RS256", "PS384", "ES256", "Ed25519"]
)
async def test_a_token_of_the_issuer_is_read(key: Any, alg: str) -> None:
    found = await outside(RSA, EC, OKP).read(signed(key, alg, claims()))
    assert found == {"tenant": "acme", "scope": "fenx.eventingress", "client_id": "program"}


async def test_issuers_may_write_lists_and_leave_the_key_out_where_there_is_one() -> None:
    said = claims(aud=["other", "bridge"], scope=None, scp=["a", "b"], azp="app")
    assert (await outside(RSA).read(signed(RSA, "RS256", said)))["scope"] == "a b"
    text = jwt.encode({"alg": "RS256"}, said, RSA)
    assert (await outside(RSA).read(text))["client_id"] == "app"
    with pytest.raises(NotAuthenticated):
        await outside(RSA, EC).read(text)


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: None} for name in ("iss", "aud", "org", "exp")),
        {"iss": "https://id.test/"},
        {"aud": ["other"]},
        {"org": ["acme"]},
        {"scope": 7},
        {"exp": 1_700_000_000},
        {"nbf": 9_999_999_999},
    ],
    ids=str,
)
async def test_a_token_must_say_who_for_whom_and_until_when(wrong: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        await outside(RSA).read(signed(RSA, "RS256", claims(**wrong)))


def signed_with_pem(said: dict[str, Any]) -> str:
    """Sign as an attacker would who knows the public key only; the library itself refuses to."""
    parts = [json.dumps(one).encode() for one in ({"alg": "HS256", "kid": "r1"}, said)]
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(RSA.as_pem(private=False), body, "sha256")
    return f"{body.decode()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def test_a_public_key_is_no_secret_to_sign_with() -> None:
    for text in (
        signed_with_pem(claims()),
        signed(OTHER, "RS256", claims(), kid="r1"),
        jwt.encode({"alg": "HS256", "kid": "shared"}, claims(), SHARED),
        "a.b.c",
        "x" * 9000,
    ):
        with pytest.raises(NotAuthenticated):
            await outside(RSA, SHARED).read(text)
