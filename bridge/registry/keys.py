# SPDX-License-Identifier: Apache-2.0
"""Use cases for API keys: create, rotate, revoke. The text of a key leaves here once and is kept nowhere."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from bridge import credentials
from bridge.domain.errors import Conflict, NotFound
from bridge.domain.principal import Scope
from bridge.registry.changes import Changes, now_ms
from bridge.registry.issuing import OVERLAP_S, expire, expiry_ms, one_of, require_open, revoke, scopes_of
from bridge.registry.objects import Credential
from bridge.registry.tenants import find_tenant

DEFAULT_SCOPES = (Scope.EVENTS_WRITE, Scope.STATUS_READ)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key, and its text: to be shown to its owner now."""

    credential: Credential
    text: str


async def create_key(
    changes: Changes,
    tenant: str,
    name: str = "default",
    scopes: Iterable[str] = DEFAULT_SCOPES,
    lifetime_s: int = 0,
    event_type: str = "",
) -> IssuedKey:
    """
    Make an API key of 256 random bits; `lifetime_s` 0: it does not expire.

    Shape:  `event_type` is that of the key's events that name none themselves.
    Raises: NotFound for an unknown tenant, Conflict for a closed one, InvalidValue, and what decisions raise.
    """
    require_open(changes, tenant)
    wanted = scopes_of(scopes, Scope)
    new, now = credentials.new_api_key(), now_ms()
    credential = Credential(
        id=secrets.token_hex(6),
        tenant=tenant,
        name=name,
        digest=new.digest,
        hint=new.hint,
        scopes=wanted,
        event_type=event_type,
        expires_ms=expiry_ms(now, lifetime_s),
        created_ms=now,
    )
    await changes.put(credential, expected=0)
    return IssuedKey(credential, new.text)


async def rotate_key(changes: Changes, tenant: str, which: str, overlap_s: int = OVERLAP_S) -> IssuedKey:
    """
    Make a new key like an old one, and let the old one expire after `overlap_s` seconds. `which`: an id, or a name.

    Raises: as `create_key`; NotFound or Conflict where `which` does not name one key that is valid.
    """
    old = _find(changes, tenant, which)
    if not old.valid(now_ms()):
        raise Conflict(f"The key {old.id} is revoked or expired; make a new one with `evb keys create {tenant}`.")
    new = await create_key(changes, tenant, old.name, old.scopes, event_type=old.event_type)
    await expire(changes, old, overlap_s)
    return new


async def revoke_key(changes: Changes, tenant: str, which: str) -> Credential:
    """
    Make a key useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one key; what decisions raise.
    """
    return await revoke(changes, _find(changes, tenant, which))


def _find(changes: Changes, tenant: str, which: str) -> Credential:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.api_keys(tenant), which, lambda key: (key.id, key.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no key {which}.")
    return found
