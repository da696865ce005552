# SPDX-License-Identifier: Apache-2.0
"""
Use cases for the clients that get tokens: create, rotate, revoke. A secret's text leaves here once and is kept nowhere.

A rotated client is another client, with an id of its own: two ids count during the overlap, never two secrets of one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from bridge import credentials
from bridge.domain.errors import Conflict, NotFound
from bridge.domain.principal import TokenScope
from bridge.registry.changes import Changes, now_ms
from bridge.registry.ingress import OAuthClient
from bridge.registry.issuing import OVERLAP_S, expire, expiry_ms, one_of, require_open, revoke, scopes_of
from bridge.registry.tenants import find_tenant


@dataclass(frozen=True, slots=True)
class IssuedClient:
    """A client, and its secret: to be shown to its owner now."""

    client: OAuthClient
    secret: str


async def create_client(
    changes: Changes, tenant: str, name: str, scopes: Iterable[str] = tuple(TokenScope), lifetime_s: int = 0
) -> IssuedClient:
    """
    Make a client with a secret of 256 random bits; `lifetime_s` 0: it does not expire.

    Raises: NotFound or Conflict for the tenant, Conflict where a valid client has the name, InvalidValue, and what decisions
            raise.
    """
    if any(one.name == name and one.valid(now_ms()) for one in changes.registry.ingress.clients(tenant)):
        raise Conflict(f"The tenant {tenant} has a client {name} already; rotate or revoke that one.")
    return await _create(changes, tenant, name, scopes, lifetime_s)


async def rotate_client(changes: Changes, tenant: str, which: str, overlap_s: int = OVERLAP_S) -> IssuedClient:
    """
    Make a client like an old one; the old one counts for `overlap_s` seconds more. `which`: an id, or a name.

    Raises: as `create_client`; NotFound or Conflict where `which` does not name one client that is valid.
    """
    old = _find(changes, tenant, which)
    if not old.valid(now_ms()):
        raise Conflict(f"The client {old.id} is revoked or expired; make a new one.")
    new = await _create(changes, tenant, old.name, old.scopes, 0)
    await expire(changes, old, overlap_s)
    return new


async def revoke_client(changes: Changes, tenant: str, which: str) -> OAuthClient:
    """
    Make a client and all its tokens useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one client; what decisions raise.
    """
    return await revoke(changes, _find(changes, tenant, which))


async def _create(changes: Changes, tenant: str, name: str, scopes: Iterable[str], lifetime_s: int) -> IssuedClient:
    require_open(changes, tenant)
    wanted = scopes_of(scopes, TokenScope)
    made, now = credentials.new_client_secret(), now_ms()
    client = OAuthClient(
        id=secrets.token_hex(12),
        tenant=tenant,
        name=name,
        digest=made.digest,
        hint=made.hint,
        scopes=wanted,
        expires_ms=expiry_ms(now, lifetime_s),
        created_ms=now,
    )
    await changes.put(client, expected=0)
    return IssuedClient(client, made.text)


def _find(changes: Changes, tenant: str, which: str) -> OAuthClient:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.ingress.clients(tenant), which, lambda client: (client.id, client.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no client {which}.")
    return found
