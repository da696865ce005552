# SPDX-License-Identifier: Apache-2.0
"""
Use cases for the clients that get tokens: create, rotate, revoke. A secret's text leaves here once and is kept nowhere.

A rotated client is another client, with an id of its own: two ids count during the overlap, never two secrets of one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from bridge import credentials
from bridge.decisions.facts import Ref
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.domain.principal import TokenScope
from bridge.registry.changes import Changes, now_ms
from bridge.registry.ingress import OAuthClient
from bridge.registry.keys import OVERLAP_S, one_of
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
    until_ms = now_ms() + overlap_s * 1000
    if not old.expires_ms or until_ms < old.expires_ms:
        await _change(changes, old, expires_ms=until_ms)
    return new


async def revoke_client(changes: Changes, tenant: str, which: str) -> OAuthClient:
    """
    Make a client and all its tokens useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one client; what decisions raise.
    """
    found = _find(changes, tenant, which)
    return found if found.state == "revoked" else await _change(changes, found, state="revoked")


async def _create(changes: Changes, tenant: str, name: str, scopes: Iterable[str], lifetime_s: int) -> IssuedClient:
    owner, _ = find_tenant(changes, tenant)
    if owner.state == "closed":
        raise Conflict(f"The tenant {tenant} is closed.")
    wanted = list(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in set(TokenScope)]
    if unknown or not wanted:
        raise InvalidValue(f"No scope {', '.join(unknown) or 'is given'}; there are: {', '.join(TokenScope)}.")
    made, now = credentials.new_client_secret(), now_ms()
    client = OAuthClient(
        id=secrets.token_hex(12),
        tenant=tenant,
        name=name,
        digest=made.digest,
        hint=made.hint,
        scopes=tuple(map(str, wanted)),
        expires_ms=now + lifetime_s * 1000 if lifetime_s else 0,
        created_ms=now,
    )
    await changes.put(client, expected=0)
    return IssuedClient(client, made.text)


async def _change(changes: Changes, client: OAuthClient, **members: object) -> OAuthClient:
    current, version = changes.find(Ref("client", client.tenant, client.id), OAuthClient)
    changed = msgspec.structs.replace(current, **members)
    await changes.put(changed, version)
    return changed


def _find(changes: Changes, tenant: str, which: str) -> OAuthClient:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.ingress.clients(tenant), which, lambda client: (client.id, client.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no client {which}.")
    return found
