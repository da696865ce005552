# SPDX-License-Identifier: Apache-2.0
"""
Use cases for secret keys with a test and a live value: create, rotate, revoke.

The values leave here once and are kept nowhere.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from bridge import credentials
from bridge.domain.errors import Conflict, NotFound
from bridge.registry.changes import Changes, now_ms
from bridge.registry.issuing import OVERLAP_S, expire, one_of, require_open, revoke
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
    await expire(changes, old, overlap_s)
    return new


async def revoke_pair(changes: Changes, tenant: str, which: str) -> SecretPair:
    """
    Make both values useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one key; what decisions raise.
    """
    return await revoke(changes, _find(changes, tenant, which))


async def _create(changes: Changes, tenant: str, dialect: Dialect, name: str) -> IssuedPair:
    require_open(changes, tenant)
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


def _find(changes: Changes, tenant: str, which: str) -> SecretPair:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.pairs(tenant), which, lambda pair: (pair.id, pair.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no secret key {which}.")
    return found
