# SPDX-License-Identifier: Apache-2.0
"""What `evb secrets --dialect buildable` does: secret keys with a test and a live value, each shown once, when they are made."""

from __future__ import annotations

import asyncio

from bridge.cli.keys import moment
from bridge.cli.output import out, show_json, show_rows
from bridge.domain.errors import InvalidValue, NotFound
from bridge.registry.changes import Changes
from bridge.registry.pairs import Dialect, IssuedPair, create_pair, revoke_pair, rotate_pair
from bridge.registry.session import changing, reading
from bridge.registry.view import View
from bridge.settings import Settings


def create(settings: Settings, tenant: str, dialect: Dialect, name: str, *, as_json: bool) -> None:
    """Make a secret key for a tenant; for the only one where none is named."""

    async def run() -> IssuedPair:
        async with changing(settings) as changes:
            return await create_pair(changes, tenant or only_tenant(changes), dialect, name)

    _show(asyncio.run(run()), as_json=as_json)


def rotate(settings: Settings, tenant: str, which: str, overlap_s: int, *, as_json: bool) -> None:
    """Make new values of a secret key."""

    async def run() -> IssuedPair:
        async with changing(settings) as changes:
            return await rotate_pair(changes, tenant, which, overlap_s)

    _show(asyncio.run(run()), as_json=as_json)


def revoke(settings: Settings, tenant: str, which: str) -> None:
    """Make a secret key useless."""

    async def run() -> str:
        async with changing(settings) as changes:
            return (await revoke_pair(changes, tenant, which)).id

    out.print(f"✓ secret key {asyncio.run(run())} of {tenant} is revoked", markup=False)


def list_(settings: Settings, tenant: str, dialect: Dialect, *, as_json: bool) -> None:
    """List a tenant's secret keys: never their values."""
    with reading(settings) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        rows = _rows(registry, tenant, dialect)
    columns = ("id", "name", "test", "live", "state", "expires")
    show_rows(rows, columns, as_json=as_json, empty=f"No secret keys yet: `evb secrets create --dialect {dialect} NAME`.")


def only_tenant(changes: Changes) -> str:
    """Give the tenant that a command means where it names none. Raises: InvalidValue unless exactly one is active."""
    active = [one.name for one in changes.registry.tenants() if one.state == "active"]
    if len(active) != 1:
        raise InvalidValue(f"--tenant: say whose it is; there are {', '.join(active) or 'none: `evb tenants create NAME`'}.")
    return active[0]


def _rows(registry: View, tenant: str, dialect: Dialect) -> list[dict[str, str]]:
    return [
        {
            "id": pair.id,
            "name": pair.name,
            "test": pair.hints[0],
            "live": pair.hints[1],
            "state": pair.state,
            "expires": moment(pair.expires_ms),
        }
        for pair in registry.pairs(tenant)
        if pair.dialect == dialect
    ]


def _show(issued: IssuedPair, *, as_json: bool) -> None:
    pair = issued.pair
    if as_json:
        show_json({"id": pair.id, "tenant": pair.tenant, "name": pair.name, "test": issued.test, "live": issued.live})
    else:
        out.print(f"✓ secret key {pair.id}, {pair.name} of {pair.tenant} (shown once: keep it now)", markup=False)
        out.print(f"  test  {issued.test}\n  live  {issued.live}", markup=False)
