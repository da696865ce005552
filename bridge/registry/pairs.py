# SPDX-License-Identifier: Apache-2.0
"""
Use cases for secret keys with a test and a live value: create, rotate, revoke.

The values leave here once and are kept nowhere.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

import msgspec

from bridge import credentials
from bridge.decisions.facts import Ref
from bridge.domain.errors import Conflict, NotFound
from bridge.registry.changes import Changes, now_ms
from bridge.registry.keys import OVERLAP_S, one_of
from bridge.registry.objects import SecretPair
from bridge.registry.tenants import find_tenant

Dialect = Literal["buildable"]


@dataclass(frozen=True, slots=True)
class IssuedPair:
    """A secret key, and its two values: to be shown to its owner now."""

    pair: SecretPair
    test: str
    live: str


async def create_pair(changes: Changes, tenant: str, dialect: Dialect, name: str) -> IssuedPair:
    """
    Make a secret key with two values of 256 random bits.

    Raises: NotFound or Conflict for the tenant, Conflict where a valid key of the dialect has the name, InvalidValue, and what
            decisions raise.
    """
    if any(one.name == name and one.dialect == dialect and one.valid(now_ms()) for one in changes.registry.pairs(tenant)):
        raise Conflict(f"The tenant {tenant} has a secret key {name} already; rotate or revoke that one.")
    return await _create(changes, tenant, dialect, name)


async def rotate_pair(changes: Changes, tenant: str, which: str, overlap_s: int = OVERLAP_S) -> IssuedPair:
    """
    Make new values for a secret key's name; the old ones count for `overlap_s` seconds more. `which`: an id, or a name.

    Raises: as `create_pair`; NotFound or Conflict where `which` does not name one key that is valid.
    """
    old = _find(changes, tenant, which)
    if not old.valid(now_ms()):
        raise Conflict(f"The secret key {old.id} is revoked or expired; make a new one.")
    new = await _create(changes, tenant, old.dialect, old.name)
    until_ms = now_ms() + overlap_s * 1000
    if not old.expires_ms or until_ms < old.expires_ms:
        await _change(changes, old, expires_ms=until_ms)
    return new


async def revoke_pair(changes: Changes, tenant: str, which: str) -> SecretPair:
    """
    Make both values useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one key; what decisions raise.
    """
    found = _find(changes, tenant, which)
    return found if found.state == "revoked" else await _change(changes, found, state="revoked")


async def _create(changes: Changes, tenant: str, dialect: Dialect, name: str) -> IssuedPair:
    owner, _ = find_tenant(changes, tenant)
    if owner.state == "closed":
        raise Conflict(f"The tenant {tenant} is closed.")
    test, live = credentials.new_pair_value("test"), credentials.new_pair_value("live")
    pair = SecretPair(
        id=secrets.token_hex(6),
        tenant=tenant,
        name=name,
        dialect=dialect,
        test=test.digest,
        live=live.digest,
        hints=(test.hint, live.hint),
        created_ms=now_ms(),
    )
    await changes.put(pair, expected=0)
    return IssuedPair(pair, test.text, live.text)


async def _change(changes: Changes, pair: SecretPair, **members: object) -> SecretPair:
    current, version = changes.find(Ref("pair", pair.tenant, pair.id), SecretPair)
    changed = msgspec.structs.replace(current, **members)
    await changes.put(changed, version)
    return changed


def _find(changes: Changes, tenant: str, which: str) -> SecretPair:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.pairs(tenant), which, lambda pair: (pair.id, pair.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no secret key {which}.")
    return found
