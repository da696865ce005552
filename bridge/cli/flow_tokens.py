# SPDX-License-Identifier: Apache-2.0
"""What `evb secrets --dialect flow` does: the tokens of Flow's API, each shown once, when it is made."""

from __future__ import annotations

import asyncio

from bridge.cli.keys import moment
from bridge.cli.output import out, show_json, show_rows
from bridge.cli.pairs import only_tenant
from bridge.domain.errors import NotFound
from bridge.registry.flow_tokens import IssuedFlowToken, Wish, create_flow_token, revoke_flow_token, rotate_flow_token
from bridge.registry.session import changing, reading
from bridge.settings import Settings


def create(settings: Settings, tenant: str, wish: Wish, *, as_json: bool) -> None:
    """Make a token for a tenant; for the only one where none is named."""

    async def run() -> IssuedFlowToken:
        async with changing(settings) as changes:
            return await create_flow_token(changes, tenant or only_tenant(changes), wish)

    _show(asyncio.run(run()), as_json=as_json)


def rotate(settings: Settings, tenant: str, which: str, overlap_s: int, *, as_json: bool) -> None:
    """Make a token like an old one."""

    async def run() -> IssuedFlowToken:
        async with changing(settings) as changes:
            return await rotate_flow_token(changes, tenant, which, overlap_s)

    _show(asyncio.run(run()), as_json=as_json)


def revoke(settings: Settings, tenant: str, which: str) -> None:
    """Make a token useless."""

    async def run() -> str:
        async with changing(settings) as changes:
            return (await revoke_flow_token(changes, tenant, which)).id

    out.print(f"✓ token {asyncio.run(run())} of {tenant} is revoked", markup=False)


def list_(settings: Settings, tenant: str, *, as_json: bool) -> None:
    """List a tenant's tokens: never their texts."""
    with reading(settings) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        rows = [
            {
                "id": token.id,
                "name": token.name,
                "kind": token.kind,
                "workflow": token.workflow,
                "hint": token.hint,
                "state": token.state,
                "expires": moment(token.expires_ms),
            }
            for token in registry.flow_tokens.tokens(tenant)
        ]
    columns = ("id", "name", "kind", "workflow", "hint", "state", "expires")
    show_rows(rows, columns, as_json=as_json, empty="No tokens yet: `evb secrets create --dialect flow NAME`.")


def _show(issued: IssuedFlowToken, *, as_json: bool) -> None:
    token = issued.token
    if as_json:
        shown = {"id": token.id, "tenant": token.tenant, "name": token.name, "kind": token.kind, "token": issued.text}
        show_json(shown | {"workflow": token.workflow, "scopes": token.scopes})
    else:
        out.print(f"✓ token {token.id}, {token.name} of {token.tenant} (shown once: keep it now)", markup=False)
        out.print(f"  {issued.text}", markup=False)
