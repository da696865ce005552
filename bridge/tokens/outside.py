# SPDX-License-Identifier: Apache-2.0
"""Read the tokens of an issuer outside, by its public keys. Used by `tokens` where `EVB_INGRESS__ISSUER` is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.jwt import JWTClaimsRegistry

from bridge.domain.errors import NotAuthenticated
from bridge.settings import Ingress
from bridge.tokens.public_keys import PublicKeys
from bridge.tokens.signing import TOKEN_CHARS, UNREADABLE

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Asymmetric ones only: with others, whoever knows the public key could sign."""
LEEWAY_S: Final = 30
"""By which another machine's clock may differ."""


class Outside:
    """One issuer whose tokens count here."""

    def __init__(self, settings: Ingress, keys: PublicKeys) -> None:
        self._keys, self._tenant_claim = keys, settings.tenant_claim
        self._registry = JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
        )

    async def read(self, text: str) -> Mapping[str, Any]:
        """
        Give `tenant`, `client` and `scope` of a valid token.

        Raises: NotAuthenticated, Unavailable where the issuer's keys cannot be fetched.
        """
        key = await self._keys.find(_kid(text))
        try:
            claims = jwt.decode(text, key, algorithms=ALGORITHMS).claims
            self._registry.validate(claims)
        except UNREADABLE as err:
            raise NotAuthenticated from err
        tenant, scope = claims.get(self._tenant_claim), claims.get("scope", claims.get("scp", ""))
        if isinstance(scope, list):  # some issuers write a list
            scope = " ".join(one for one in scope if isinstance(one, str))
        client = claims.get("client_id") or claims.get("azp") or claims.get("sub")
        if not isinstance(tenant, str) or not isinstance(scope, str):
            raise NotAuthenticated
        return {"tenant": tenant, "scope": scope, "client_id": client if isinstance(client, str) else ""}


def _kid(text: str) -> str | None:
    """Read which key signed a token, before anything of it is believed. Raises: NotAuthenticated."""
    if len(text) > TOKEN_CHARS:
        raise NotAuthenticated
    try:
        header = jws.extract_compact(text.encode()).headers()
    except UNREADABLE as err:
        raise NotAuthenticated from err
    kid = header.get("kid")
    if not isinstance(kid, str | None):
        raise NotAuthenticated
    return kid
