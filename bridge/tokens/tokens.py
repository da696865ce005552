# SPDX-License-Identifier: Apache-2.0
"""
Give tokens to clients, and say whose a token is.

One per process. A token is only as good as its client is now: a revoked or expired one, or a closed tenant, is asked for in the
registry on every request.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.credentials import digest
from bridge.domain.errors import NotAllowed, NotAuthenticated
from bridge.registry.ingress import OAuthClient
from bridge.registry.view import View
from bridge.settings import Ingress, Settings
from bridge.tokens.holder import LIFETIME_S, TokenHolder

if TYPE_CHECKING:
    from bridge.tokens.outside import Outside
    from bridge.tokens.signing import Signer

_DUMMY: Final = digest("no client has this secret")


class Issued(NamedTuple):
    """A token, for how many seconds it counts, and the scopes that it has."""

    text: str
    lifetime_s: int
    scopes: tuple[str, ...]


class Tokens:
    """Tokens are made and checked here, or, where the settings name an issuer, checked only."""

    def __init__(self, settings: Settings, registry: View) -> None:
        self._registry = registry
        given = settings.ingress
        self._outside = _reader_of(given) if given.issuer else None
        self._secret_keys = settings.secret_keys.get_secret_value()
        self._name = f"urn:event-bridge:{settings.topic_prefix}"

    @property
    def made_here(self) -> bool:
        """Whether `issue` makes tokens."""
        return self._outside is None

    @cached_property
    def _signer(self) -> Signer:
        """Made for the first token: what it loads is memory that a web process without such clients does not need."""
        from bridge.tokens.signing import Signer

        return Signer(self._secret_keys, self._name)

    def issue(self, client_id: str, secret: str, scopes: Sequence[str]) -> Issued:
        """
        Make a token for a client; without `scopes` with all that the client has.

        Raises: NotAuthenticated (one for every cause), NotAllowed for a scope that the client lacks, Unavailable without a key
                to sign with.
        """
        client = self._authentic(client_id, secret)
        for scope in scopes:
            if scope not in client.scopes:
                raise NotAllowed(scope)
        granted = tuple(dict.fromkeys(scopes)) or client.scopes
        return Issued(self._signer.sign(client.tenant, client.id, granted, int(time.time())), LIFETIME_S, granted)

    async def holder(self, text: str) -> TokenHolder:
        """Say whose a token is. Raises: NotAuthenticated; Unavailable where an issuer's keys cannot be fetched."""
        if self._outside is not None:
            claims = await self._outside.read(text)
            name = claims["client_id"]
        else:
            claims = self._signer.read(text)
            client = self._registry.ingress.client(claims["client_id"])
            if client is None or client.tenant != claims["tenant"] or not client.valid(int(time.time() * 1000)):
                raise NotAuthenticated
            name = client.name
        tenant: str = claims["tenant"]
        if not self._registry.active(tenant):
            raise NotAuthenticated
        return TokenHolder(tenant, name, frozenset(claims["scope"].split()))

    def _authentic(self, client_id: str, secret: str) -> OAuthClient:
        client = self._registry.ingress.client(client_id)
        known = bytes.fromhex(client.digest) if client is not None else _DUMMY
        fits = hmac.compare_digest(known, digest(secret))
        if client is None or not fits or not client.valid(int(time.time() * 1000)) or not self._registry.active(client.tenant):
            raise NotAuthenticated
        return client


def _reader_of(issuer: Ingress) -> Outside:
    """Make what reads the tokens of an issuer: loaded here, because its HTTP client takes memory in every web process."""
    from bridge.tokens.outside import Outside
    from bridge.tokens.public_keys import PublicKeys

    return Outside(issuer, PublicKeys(issuer.jwks_url))
