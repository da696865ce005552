# SPDX-License-Identifier: Apache-2.0
"""Use cases for signing secrets: create, rotate, revoke. Their text leaves here once and is kept encrypted."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from bridge import credentials
from bridge.credentials import Vault
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.registry.changes import Changes, now_ms
from bridge.registry.issuing import OVERLAP_S, expire, one_of, require_open, revoke
from bridge.registry.objects import SigningSecret
from bridge.registry.tenants import find_tenant

SHORTEST = 8
LONGEST = 256


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """A signing secret, and its text: to be given to the sender now."""

    secret: SigningSecret
    text: str


async def create_secret(
    changes: Changes, vault: Vault, tenant: str, source: str, *, event_type: str = "", given: str = ""
) -> IssuedSecret:
    """
    Make a signing secret of 256 random bits for a source, or keep the `given` one.

    Shape:  `event_type` is that of the source's events that name none themselves.
    Raises: Misconfigured without a key to encrypt with, NotFound or Conflict for the tenant, InvalidValue, and what decisions
            raise.
    """
    require_open(changes, tenant)
    if given and not SHORTEST <= len(given) <= LONGEST:
        raise InvalidValue(f"A signing secret has {SHORTEST} to {LONGEST} characters; the one given has {len(given)}.")
    text = given or credentials.new_signing_secret()
    secret = SigningSecret(
        id=secrets.token_hex(6),
        tenant=tenant,
        source=source,
        event_type=event_type,
        ciphertext=vault.seal(text),
        hint=credentials.hint_of(text),
        created_ms=now_ms(),
    )
    await changes.put(secret, expected=0)
    return IssuedSecret(secret, text)


async def rotate_secret(
    changes: Changes, vault: Vault, tenant: str, which: str, overlap_s: int = OVERLAP_S, given: str = ""
) -> IssuedSecret:
    """
    Make a new secret for an old one's source; both count for `overlap_s` seconds. `which`: an id, or the source's name.

    Raises: as `create_secret`; NotFound or Conflict where `which` does not name one secret that counts.
    """
    old = _find(changes, tenant, which)
    if not old.valid(now_ms()):
        raise Conflict(f"The secret {old.id} is revoked or expired; make a new one with `evb secrets create {tenant}`.")
    new = await create_secret(changes, vault, tenant, old.source, event_type=old.event_type, given=given)
    await expire(changes, old, overlap_s)
    return new


async def revoke_secret(changes: Changes, tenant: str, which: str) -> SigningSecret:
    """
    Make a secret useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one secret; what decisions raise.
    """
    return await revoke(changes, _find(changes, tenant, which))


def _find(changes: Changes, tenant: str, which: str) -> SigningSecret:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.secrets(tenant), which, lambda secret: (secret.id, secret.source))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no signing secret {which}.")
    return found
