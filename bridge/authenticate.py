# SPDX-License-Identifier: Apache-2.0
"""
Who calls? Turn an API key or a signature into a principal, from the registry in memory alone.

Called by the doors before anything is parsed. Every cause of failure raises the same NotAuthenticated; nothing is logged, and
no answer says which part was wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bridge.credentials import digest
from bridge.domain.errors import NotAllowed, NotAuthenticated
from bridge.domain.limits import LOOP_BYTES
from bridge.domain.principal import FlowScope, Principal, Scope
from bridge.registry.credential_index import Environment
from bridge.registry.objects import SigningSecret
from bridge.registry.signing_index import KeyedSecret
from bridge.registry.view import View

BARE_SECRETS: Final = 1000
"""On a path that names no source, at most so many secrets are tried."""

_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")
_SIGNED_SCOPES = frozenset({Scope.EVENTS_WRITE.value})
_PAIR_SCOPES = frozenset({Scope.EVENTS_WRITE.value, Scope.STATUS_READ.value})
_DUMMY = hmac.new(secrets.token_bytes(32), digestmod=hashlib.sha256)


def by_api_key(registry: View, text: str) -> Principal:
    """Raises: NotAuthenticated for an unknown, revoked or expired key, and for one of a closed tenant."""
    found = registry.credentials.api_key(digest(text))
    if found is None or not found.valid(int(time.time() * 1000)) or not registry.active(found.tenant):
        raise NotAuthenticated
    return _principal(found.tenant, found.scopes, found.name, found.event_type)


@lru_cache(maxsize=1024)
def _principal(tenant: str, scopes: tuple[str, ...], credential: str, event_type: str) -> Principal:
    """Make the principal of a key, once for what the key says; whether the key is valid is asked on every request."""
    return Principal(tenant, frozenset(scopes), credential, event_type)


@dataclass(frozen=True, slots=True)
class PairHolder:
    """Who calls with a value of a secret key: the key's tenant, name and id, and which of its values it is."""

    principal: Principal
    environment: Environment
    name: str
    id: str


def by_pair(registry: View, dialect: str, text: str) -> PairHolder:
    """Raises: NotAuthenticated for a value that is unknown, revoked, expired, or of another dialect or a closed tenant."""
    found = registry.credentials.pair(digest(text))
    if found is None:
        raise NotAuthenticated
    pair, environment = found
    if pair.dialect != dialect or not pair.valid(int(time.time() * 1000)) or not registry.active(pair.tenant):
        raise NotAuthenticated
    return PairHolder(Principal(pair.tenant, _PAIR_SCOPES, pair.name), environment, pair.name, pair.id)


@dataclass(frozen=True, slots=True)
class FlowCaller:
    """Who calls Flow's API: a tenant, the token's name and scopes, and the one workflow that it opens (empty: all of them)."""

    tenant: str
    name: str
    scopes: frozenset[str]
    workflow: str = ""

    def require(self, scope: FlowScope) -> None:
        """Raises: NotAllowed where the scope is not held."""
        if scope.value not in self.scopes:
            raise NotAllowed(scope)

    def opens(self, workflow: str) -> bool:
        """Say whether the caller may have to do with a workflow."""
        return self.workflow in ("", workflow)


def by_flow_token(registry: View, text: str) -> FlowCaller:
    """Raises: NotAuthenticated for a token that is unknown, revoked or expired, and for one of a closed tenant."""
    found = registry.flow_tokens.token(digest(text))
    if found is None or not found.valid(int(time.time() * 1000)) or not registry.active(found.tenant):
        raise NotAuthenticated
    return FlowCaller(found.tenant, found.name, frozenset(found.scopes), found.workflow)


def by_signature(registry: View, body: bytes, header: str, source: str | None) -> Principal:
    """
    Find the tenant whose secret signed a body.

    Shape:  `body` is the raw bytes as received; `header` is the value of X-Hub-Signature-256; without a `source`, the secrets
            of all tenants are tried, if there are at most 1,000.
    Raises: NotAuthenticated, also where the signature fits the secrets of two tenants.
    Source: GitHub, "Validating webhook deliveries"
    """
    candidates = _candidates(registry, source)
    match = _SIGNATURE.fullmatch(header)
    given = bytes.fromhex(match.group(1)) if match else bytes(32)
    # Every candidate is tried, whatever was found before, so that the time does not tell which one fits; with none, one dummy.
    fitting = [keyed.secret for keyed in candidates if _fits(keyed.mac, body, given)]
    if not candidates:
        _fits(_DUMMY, body, given)
    if match is None or len({secret.tenant for secret in fitting}) != 1:
        raise NotAuthenticated
    return _signer(fitting)


def by_both(registry: View, key: str | None, body: bytes, header: str | None, source: str | None) -> Principal:
    """
    Take whichever credentials a request carries; each one that is there must be valid, and all of one tenant.

    Raises: NotAuthenticated, also where there is none.
    """
    if header is None:
        return by_api_key(registry, key or "")
    signer = by_signature(registry, body, header, source)
    if key is None:
        return signer
    holder = by_api_key(registry, key)
    if holder.tenant != signer.tenant:
        raise NotAuthenticated
    return Principal(holder.tenant, holder.scopes | signer.scopes, holder.credential, signer.event_type)


def takes_long(registry: View, size: int, source: str | None) -> bool:
    """Say whether checking the signature of a body of `size` bytes belongs in a thread, off the event loop."""
    return size * max(1, len(registry.keyed_secrets(source))) > 4 * LOOP_BYTES


def _candidates(registry: View, source: str | None) -> list[KeyedSecret]:
    found = registry.keyed_secrets(source)
    return found if source is not None or len(found) <= BARE_SECRETS else []


def _fits(keyed: hmac.HMAC, body: bytes, given: bytes) -> bool:
    mac = keyed.copy()
    mac.update(body)
    return hmac.compare_digest(mac.digest(), given)


def _signer(fitting: list[SigningSecret]) -> Principal:
    """One tenant may have the same secret under two sources: the event type is the one they agree on."""
    types = {secret.event_type for secret in fitting}
    secret = fitting[0]
    return Principal(secret.tenant, _SIGNED_SCOPES, f"{secret.source}/{secret.id}", types.pop() if len(types) == 1 else "")
