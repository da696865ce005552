# SPDX-License-Identifier: Apache-2.0
"""
Use cases for the tokens of Flow's API: create, rotate, revoke. A token's text leaves here once and is kept nowhere.

Every token is one tenant's, whatever its kind (docs/decisions/0096-a-flow-token-has-one-tenant.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from bridge import credentials
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.domain.principal import FlowScope
from bridge.registry.changes import Changes, now_ms
from bridge.registry.flow import PREFIXES, FlowToken, TokenKind
from bridge.registry.issuing import OVERLAP_S, expire, expiry_ms, one_of, require_open, revoke, scopes_of
from bridge.registry.tenants import find_tenant


@dataclass(frozen=True, slots=True)
class IssuedFlowToken:
    """A token, and its text: to be shown to its owner now."""

    token: FlowToken
    text: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a token is to be; `workflow` is for the kind of this name only, `lifetime_s` 0: it does not expire."""

    name: str
    kind: TokenKind = "team"
    workflow: str = ""
    scopes: Iterable[str] = tuple(FlowScope)
    lifetime_s: int = 0


async def create_flow_token(changes: Changes, tenant: str, wish: Wish) -> IssuedFlowToken:
    """
    Make a token of 256 random bits.

    Raises: NotFound or Conflict for the tenant, Conflict where a valid token has the name, NotFound for the workflow,
            InvalidValue, and what decisions raise.
    """
    if any(one.name == wish.name and one.valid(now_ms()) for one in changes.registry.flow_tokens.tokens(tenant)):
        raise Conflict(f"The tenant {tenant} has a token {wish.name} already; rotate or revoke that one.")
    return await _create(changes, tenant, wish)


async def rotate_flow_token(changes: Changes, tenant: str, which: str, overlap_s: int = OVERLAP_S) -> IssuedFlowToken:
    """
    Make a token like an old one; the old one counts for `overlap_s` seconds more. `which`: an id, or a name.

    Raises: as `create_flow_token`; NotFound or Conflict where `which` does not name one token that is valid.
    """
    old = _find(changes, tenant, which)
    if not old.valid(now_ms()):
        raise Conflict(f"The token {old.id} is revoked or expired; make a new one.")
    new = await _create(changes, tenant, Wish(old.name, old.kind, old.workflow, old.scopes))
    await expire(changes, old, overlap_s)
    return new


async def revoke_flow_token(changes: Changes, tenant: str, which: str) -> FlowToken:
    """
    Make a token useless, in every process within 2 s. Again: harmless.

    Raises: NotFound or Conflict where `which` does not name one token; what decisions raise.
    """
    return await revoke(changes, _find(changes, tenant, which))


async def _create(changes: Changes, tenant: str, wish: Wish) -> IssuedFlowToken:
    require_open(changes, tenant)
    scopes = scopes_of(wish.scopes, FlowScope)
    _check(changes, tenant, wish)
    made, now = credentials.new_flow_token(PREFIXES[wish.kind]), now_ms()
    token = FlowToken(
        id=secrets.token_hex(6),
        tenant=tenant,
        name=wish.name,
        kind=wish.kind,
        digest=made.digest,
        hint=made.hint,
        scopes=scopes,
        workflow=wish.workflow,
        expires_ms=expiry_ms(now, wish.lifetime_s),
        created_ms=now,
    )
    await changes.put(token, expected=0)
    return IssuedFlowToken(token, made.text)


def _check(changes: Changes, tenant: str, wish: Wish) -> None:
    if (wish.kind == "workflow") != bool(wish.workflow):
        raise InvalidValue("A token of the kind workflow names its workflow, and no other token names one.")
    if wish.workflow and changes.registry.workflows.current(tenant, wish.workflow) is None:
        raise NotFound(f"The tenant {tenant} has no workflow {wish.workflow}.")


def _find(changes: Changes, tenant: str, which: str) -> FlowToken:
    find_tenant(changes, tenant)
    found = one_of(changes.registry.flow_tokens.tokens(tenant), which, lambda token: (token.id, token.name))
    if found is None:
        raise NotFound(f"The tenant {tenant} has no token {which}.")
    return found
