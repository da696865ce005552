# SPDX-License-Identifier: Apache-2.0
"""
What all credentials have in common that are given to somebody once: for whom, for how long, and how they are taken back.

Used by the use cases of each kind: `keys`, `signing`, `pairs`, `clients`, `flow_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from bridge.domain.errors import Conflict, InvalidValue
from bridge.registry.changes import Changes, now_ms
from bridge.registry.flow import FlowToken
from bridge.registry.ingress import OAuthClient
from bridge.registry.objects import Credential, SecretPair, SigningSecret, ref_of
from bridge.registry.tenants import find_tenant

CredentialT = TypeVar("CredentialT", Credential, SigningSecret, SecretPair, OAuthClient, FlowToken)

OVERLAP_S: Final = 86_400
"""How long the old one of a rotation counts beside the new one."""


def require_open(changes: Changes, tenant: str) -> None:
    """See to it that a tenant may be given something. Raises: NotFound for an unknown one, Conflict for a closed one."""
    owner, _ = find_tenant(changes, tenant)
    if owner.state == "closed":
        raise Conflict(f"The tenant {tenant} is closed.")


def scopes_of(asked: Iterable[str], known: type[StrEnum]) -> tuple[str, ...]:
    """Give the scopes that are asked for, each once. Raises: InvalidValue for unknown ones, and for none."""
    wanted = tuple(dict.fromkeys(map(str, asked)))
    unknown = [scope for scope in wanted if scope not in set(known)]
    if unknown or not wanted:
        raise InvalidValue(f"No scope {', '.join(unknown) or 'is given'}; there are: {', '.join(known)}.")
    return wanted


def expiry_ms(now: int, lifetime_s: int) -> int:
    """Say when what is made now expires; never where the lifetime is 0."""
    return now + lifetime_s * 1000 if lifetime_s else 0


def one_of(all_: Sequence[CredentialT], which: str, names: Callable[[CredentialT], tuple[str, str]]) -> CredentialT | None:
    """Find what an id, or the name of exactly one that still counts, names. Raises: Conflict where the name is not enough."""
    by_id = [one for one in all_ if names(one)[0] == which]
    by_name = [one for one in all_ if names(one)[1] == which and one.valid(now_ms())]
    found = by_id or by_name
    if len(found) > 1:
        raise Conflict(f"{which} names {len(found)} of them; give an id: {', '.join(names(one)[0] for one in found)}.")
    return found[0] if found else None


async def expire(changes: Changes, old: CredentialT, overlap_s: int) -> None:
    """Let what was replaced count for `overlap_s` seconds more, never longer than it would have. Raises: what decisions raise."""
    until_ms = now_ms() + overlap_s * 1000
    if not old.expires_ms or until_ms < old.expires_ms:
        await _change(changes, old, expires_ms=until_ms)


async def revoke(changes: Changes, credential: CredentialT) -> CredentialT:
    """Make it useless, in every process within 2 s. Again: harmless. Raises: what decisions raise."""
    return credential if credential.state == "revoked" else await _change(changes, credential, state="revoked")


async def _change(changes: Changes, credential: CredentialT, **members: object) -> CredentialT:
    current, version = changes.find(ref_of(credential), type(credential))
    changed = msgspec.structs.replace(current, **members)
    await changes.put(changed, version)
    return changed
