# SPDX-License-Identifier: Apache-2.0
"""
Make and read our own tokens: JWTs signed with keys that are derived from the operator's.

Why so: docs/decisions/0062-tokens-without-a-store.md. Pure but for the random `jti`; what a token is worth is `tokens`' business.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jwt import JWTClaimsRegistry

from bridge.domain.errors import NotAuthenticated, Unavailable
from bridge.tokens.holder import LIFETIME_S

TOKEN_CHARS: Final = 8192
ALGORITHM: Final = "HS256"
PURPOSE: Final = b"event-bridge: tokens of the event ingress dialect"
"""Fixed for ever: another one makes every token of before worthless."""
TEXTS: Final = ("client_id", "tenant", "scope")
UNREADABLE: Final = (JoseError, ValueError, TypeError, RecursionError)


class Signer:
    """
    The keys of one installation, from its Fernet keys: the first signs, every one verifies.

    Raises: ValueError where a key is malformed, which `Vault` has said before with its cure.
    """

    def __init__(self, keys: str, issuer: str) -> None:
        self._issuer = issuer
        self._keys = [_derived(part.strip()) for part in keys.split(",") if part.strip()]
        self._registry = JWTClaimsRegistry(iss={"essential": True, "value": issuer}, exp={"essential": True})

    def sign(self, tenant: str, client: str, scopes: Sequence[str], now_s: int) -> str:
        """Make a token for a client that lasts 900 s. Raises: Unavailable without a key."""
        if not self._keys:
            raise Unavailable("This server has no key to sign tokens with.")
        claims = {
            "iss": self._issuer,
            "sub": client,
            "client_id": client,
            "tenant": tenant,
            "scope": " ".join(scopes),
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._keys[0])

    def read(self, text: str) -> Mapping[str, Any]:
        """Give the claims of a token of ours that has not expired. Raises: NotAuthenticated."""
        if len(text) <= TOKEN_CHARS:
            for key in self._keys:
                try:
                    claims = jwt.decode(text, key, algorithms=[ALGORITHM]).claims
                    self._registry.validate(claims)
                except UNREADABLE:
                    continue
                if all(isinstance(claims.get(name), str) for name in TEXTS):
                    return claims
        raise NotAuthenticated


def _derived(fernet_key: str) -> OctKey:
    material = base64.urlsafe_b64decode(fernet_key)
    return OctKey.import_key(HKDF(SHA256(), 32, None, PURPOSE).derive(material))
