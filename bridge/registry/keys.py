# SPDX-License-Identifier: Apache-2.0
"""Use cases for API keys: create, rotate, revoke. The text of a key leaves here once and is kept nowhere."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bridge import credentials
from bridge.decisions.facts import Ref
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.domain.principal import Scope
from bridge.registry.changes import Changes, now_ms
from bridge.registry.flow import FlowToken
from bridge.registry.ingress import OAuthClient
from bridge.registry.objects import Credential, SecretPair, SigningSecret
from bridge.registry.tenants import find_tenant

CredentialT = TypeVar("CredentialT", Credential, SigningSecret, SecretPair, OAuthClient, FlowToken)

DEFAULT_SCOPES = (Scope.EVENTS_WRITE, Scope.STATUS_READ)
OVERLAP_S = 86_400


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
    owner, _ = find_tenant(changes, tenant)
    if owner.state == "closed":
        raise Conflict(f"The tenant {tenant} is closed.")
    wanted = list(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in set(Scope)]
    if unknown or not wanted:
        raise InvalidValue(f"No scope {', '.join(unknown) or 'is given'}; there are: {', '.join(Scope)}.")
    new, now = credentials.new_api_key(), now_ms()
    credential = Credential(
        id=secrets.token_hex(6),
        tenant=tenant,
        name=name,
        digest=new.digest,
        hint=new.hint,
        scopes=tuple(map(str, wanted)),
        event_type=event_type,
        expires_ms=now + lifetime_s * 1000 if lifetime_s else 0,
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
    until_ms = now_ms() + overlap_s * 1000
    if not old.expires_ms or until_ms < old.expires_ms:
        await _change(changes, old, expires_ms=until_ms)
    return new


async def revoke_key(changes: Changes, tenant: str, which: str) -> Credential:
    """
    Make a key useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one key; what decisions raise.
    """
    found = _find(changes, tenant, which)
    return found if found.state == "revoked" else await _change(changes, found, state="revoked")


async def _change(changes: Changes, credential: Credential, **members: object) -> Credential:
    current, version = changes.find(Ref("key", credential.tenant, credential.id), Credential)
    changed = msgspec.structs.replace(current, **members)
    await changes.put(changed, version)
    return changed


def _find(changes: Changes, tenant: str, which: str) -> Credential:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.api_keys(tenant), which, lambda key: (key.id, key.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no key {which}.")
    return found


def one_of(all_: Sequence[CredentialT], which: str, names: Callable[[CredentialT], tuple[str, str]]) -> CredentialT | None:
    """Find what an id, or the name of exactly one that still counts, names. Raises: Conflict where the name is not enough."""
    by_id = [one for one in all_ if names(one)[0] == which]
    by_name = [one for one in all_ if names(one)[1] == which and one.valid(now_ms())]
    found = by_id or by_name
    if len(found) > 1:
        raise Conflict(f"{which} names {len(found)} of them; give an id: {', '.join(names(one)[0] for one in found)}.")
    return found[0] if found else None
