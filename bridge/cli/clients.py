# SPDX-License-Identifier: Apache-2.0
"""What `evb secrets --dialect eventingress` does: the clients that get tokens, whose secrets are shown once."""

from __future__ import annotations

import asyncio

from bridge.cli.keys import moment
from bridge.cli.output import out, show_json, show_rows
from bridge.cli.pairs import only_tenant
from bridge.domain.errors import Misconfigured, NotFound
from bridge.domain.principal import TokenScope
from bridge.registry.clients import IssuedClient, create_client, revoke_client, rotate_client
from bridge.registry.session import changing, reading
from bridge.settings import Settings


def create(settings: Settings, tenant: str, name: str, scopes: str, *, as_json: bool) -> None:
    """Make a client for a tenant; for the only one where none is named. Without `scopes` it has all of them."""
    if not settings.secret_keys.get_secret_value().strip() and not settings.ingress.issuer:
        raise Misconfigured("EVB_SECRET_KEYS is empty, and tokens are signed with a key that is made of it.")
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()] or list(TokenScope)

    async def run() -> IssuedClient:
        async with changing(settings) as changes:
            return await create_client(changes, tenant or only_tenant(changes), name, wanted)

    _show(asyncio.run(run()), as_json=as_json)


def rotate(settings: Settings, tenant: str, which: str, overlap_s: int, *, as_json: bool) -> None:
    """Make a client like an old one."""

    async def run() -> IssuedClient:
        async with changing(settings) as changes:
            return await rotate_client(changes, tenant, which, overlap_s)

    _show(asyncio.run(run()), as_json=as_json)


def revoke(settings: Settings, tenant: str, which: str) -> None:
    """Make a client useless, with all its tokens."""

    async def run() -> str:
        async with changing(settings) as changes:
            return (await revoke_client(changes, tenant, which)).id

    out.print(f"✓ client {asyncio.run(run())} of {tenant} is revoked", markup=False)


def list_(settings: Settings, tenant: str, *, as_json: bool) -> None:
    """List a tenant's clients: never their secrets."""
    with reading(settings) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        rows = [
            {
                "id": client.id,
                "name": client.name,
                "hint": client.hint,
                "state": client.state,
                "scopes": " ".join(client.scopes),
                "expires": moment(client.expires_ms),
            }
            for client in registry.ingress.clients(tenant)
        ]
    columns = ("id", "name", "hint", "state", "scopes", "expires")
    show_rows(rows, columns, as_json=as_json, empty="No clients yet: `evb secrets create --dialect eventingress NAME`.")


def _show(issued: IssuedClient, *, as_json: bool) -> None:
    client = issued.client
    if as_json:
        shown = {"tenant": client.tenant, "name": client.name, "client_id": client.id, "client_secret": issued.secret}
        show_json(shown | {"scopes": client.scopes})
    else:
        out.print(f"✓ client {client.name} of {client.tenant} (shown once: keep it now)", markup=False)
        out.print(f"  client_id      {client.id}\n  client_secret  {issued.secret}", markup=False)
