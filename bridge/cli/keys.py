# SPDX-License-Identifier: Apache-2.0
"""`evb keys`: a tenant's API keys. A key's text is shown once, when it is made."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from bridge.cli.output import out, show_json, show_rows
from bridge.cli.spans import seconds_of
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.errors import NotFound
from bridge.registry.keys import DEFAULT_SCOPES, IssuedKey, create_key, revoke_key, rotate_key
from bridge.registry.session import changing, reading

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke API keys.")

Tenant = Annotated[str, typer.Argument(help="Name of the tenant.")]
Which = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, or its name where one valid key has it.")]


@app.command()
def create(
    tenant: Tenant,
    name: Annotated[str, typer.Option(help="What it is for.")] = "default",
    scopes: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(DEFAULT_SCOPES),
    expires: Annotated[str, typer.Option(help="Lifetime such as 90d; empty: it does not expire.")] = "",
    event_type: Annotated[str, typer.Option(help="Type of its events that name none themselves.")] = "",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key of 256 random bits."""

    async def run() -> IssuedKey:
        async with changing(operator_settings(data)) as changes:
            wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
            return await create_key(changes, tenant, name, wanted, seconds_of(expires) if expires else 0, event_type)

    _show(asyncio.run(run()), as_json=as_json)


@app.command("list")
def list_(tenant: Tenant, data: Data = None, as_json: AsJson = False) -> None:
    """List a tenant's keys: never their texts."""
    with reading(operator_settings(data)) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "hint": key.hint,
                "state": key.state,
                "scopes": " ".join(key.scopes),
                "expires": moment(key.expires_ms),
            }
            for key in registry.api_keys(tenant)
        ]
    columns = ("id", "name", "hint", "state", "scopes", "expires")
    show_rows(rows, columns, as_json=as_json, empty=f"No keys yet: `evb keys create {tenant}`.")


@app.command()
def rotate(
    tenant: Tenant,
    which: Which,
    overlap: Annotated[str, typer.Option(help="How long the old one stays valid: 24h, 0s.")] = "24h",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key like an old one; both are valid during the overlap."""

    async def run() -> IssuedKey:
        async with changing(operator_settings(data)) as changes:
            return await rotate_key(changes, tenant, which, seconds_of(overlap))

    _show(asyncio.run(run()), as_json=as_json)


@app.command()
def revoke(tenant: Tenant, which: Which, data: Data = None) -> None:
    """Make a key useless, in every process within 2 s."""

    async def run() -> str:
        async with changing(operator_settings(data)) as changes:
            return (await revoke_key(changes, tenant, which)).id

    out.print(f"✓ key {asyncio.run(run())} of {tenant} is revoked", markup=False)


def moment(ms: int) -> str:
    """Write a time of the registry for people; 0 is never."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if ms else "never"


def _show(issued: IssuedKey, *, as_json: bool) -> None:
    if as_json:
        show_json({"id": issued.credential.id, "tenant": issued.credential.tenant, "api_key": issued.text})
    else:
        out.print(f"✓ key {issued.credential.id}\n  {issued.text}   (shown once: keep it now)", markup=False)
