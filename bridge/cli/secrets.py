# SPDX-License-Identifier: Apache-2.0
"""
`evb secrets`: the signing secrets of a tenant's webhook sources, and with `--dialect` what callers of a dialect prove
themselves with.

A secret's text is shown once, when it is made.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Literal

import typer

from bridge.cli import clients, flow_tokens, pairs
from bridge.cli.keys import Tenant, moment
from bridge.cli.output import FAILED, out, show_json, show_rows
from bridge.cli.spans import seconds_of
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.credentials import Vault
from bridge.domain.errors import InvalidValue, NotFound
from bridge.domain.principal import FlowScope
from bridge.registry.flow import TokenKind
from bridge.registry.flow_tokens import Wish
from bridge.registry.resealing import Resealed, reseal_secrets
from bridge.registry.session import changing, reading
from bridge.registry.signing import IssuedSecret, create_secret, revoke_secret, rotate_secret
from bridge.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke signing secrets, and dialects' own credentials.")

Which = Annotated[
    str, typer.Argument(metavar="SECRET", help="Id of the secret, or its source (a key's name) where one valid secret has it.")
]
OfDialect = Annotated[
    Literal["buildable", "eventingress", "flow"] | None,
    typer.Option("--dialect", help="The secret keys (buildable), clients (eventingress) or tokens (flow), not signing secrets."),
]
_OF = {"buildable": pairs, "eventingress": clients, "flow": flow_tokens}
Given = Annotated[
    str | None,
    typer.Option("--secret", help="Keep this one instead of making one; `-`: read it from stdin, which no process list shows."),
]


@app.command()
def create(
    owner: Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant; with --dialect, of the new credential.")],
    source: Annotated[str, typer.Option(help="Name of the sender: /fx/events/webhook/<source>.")] = "github",
    event_type: Annotated[str, typer.Option("--type", help="Type of its events that name none themselves.")] = "",
    given: Given = None,
    dialect: OfDialect = None,
    tenant: Annotated[str, typer.Option(help="With --dialect: whose it is; left out: the only tenant's.")] = "",
    scopes: Annotated[str, typer.Option(help="With --dialect eventingress or flow: comma-separated; left out: all.")] = "",
    kind: Annotated[TokenKind, typer.Option(help="With --dialect flow: what the token is.")] = "team",
    workflow: Annotated[str, typer.Option(help="With --dialect flow --kind workflow: the only one that it opens.")] = "",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a signing secret for a webhook source; a secret key with a test and a live value; or what else a dialect asks for."""
    settings, text = operator_settings(data), _given(given)
    if dialect == "flow":
        flow_tokens.create(settings, tenant, Wish(owner, kind, workflow, _several(scopes) or tuple(FlowScope)), as_json=as_json)
        return
    if dialect == "eventingress":
        clients.create(settings, tenant, owner, scopes, as_json=as_json)
        return
    if dialect == "buildable":
        pairs.create(settings, tenant, dialect, owner, as_json=as_json)
        return

    async def run() -> IssuedSecret:
        async with changing(settings) as changes:
            return await create_secret(changes, _vault(settings), owner, source, event_type=event_type, given=text)

    _show(asyncio.run(run()), as_json=as_json)


@app.command("list")
def list_(tenant: Tenant, dialect: OfDialect = None, data: Data = None, as_json: AsJson = False) -> None:
    """List a tenant's signing secrets, or a dialect's secret keys, clients or tokens: never their texts."""
    settings = operator_settings(data)
    if dialect == "flow":
        flow_tokens.list_(settings, tenant, as_json=as_json)
        return
    if dialect == "eventingress":
        clients.list_(settings, tenant, as_json=as_json)
        return
    if dialect == "buildable":
        pairs.list_(settings, tenant, dialect, as_json=as_json)
        return
    with reading(settings) as registry:
        if registry.tenant(tenant) is None:
            raise NotFound(f"There is no tenant {tenant}.")
        rows = [
            {
                "id": secret.id,
                "source": secret.source,
                "type": secret.event_type,
                "hint": secret.hint,
                "state": secret.state,
                "expires": moment(secret.expires_ms),
            }
            for secret in registry.secrets(tenant)
        ]
    columns = ("id", "source", "type", "hint", "state", "expires")
    show_rows(rows, columns, as_json=as_json, empty=f"No signing secrets yet: `evb secrets create {tenant}`.")


@app.command()
def rotate(
    tenant: Tenant,
    which: Which,
    overlap: Annotated[str, typer.Option(help="How long the old one stays valid: 24h, 0s.")] = "24h",
    given: Given = None,
    dialect: OfDialect = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a new secret for the old one's source; both are valid during the overlap."""
    settings, text = operator_settings(data), _given(given)
    if dialect is not None:
        _OF[dialect].rotate(settings, tenant, which, seconds_of(overlap), as_json=as_json)
        return

    async def run() -> IssuedSecret:
        async with changing(settings) as changes:
            return await rotate_secret(changes, _vault(settings), tenant, which, seconds_of(overlap), text)

    _show(asyncio.run(run()), as_json=as_json)


@app.command()
def revoke(tenant: Tenant, which: Which, dialect: OfDialect = None, data: Data = None) -> None:
    """Make a secret useless, in every process within 2 s."""
    settings = operator_settings(data)
    if dialect is not None:
        _OF[dialect].revoke(settings, tenant, which)
        return

    async def run() -> str:
        async with changing(settings) as changes:
            return (await revoke_secret(changes, tenant, which)).id

    out.print(f"✓ secret {asyncio.run(run())} of {tenant} is revoked", markup=False)


@app.command()
def reencrypt(data: Data = None) -> None:
    """Encrypt every secret under the first of EVB_SECRET_KEYS; afterwards the other keys can go."""
    settings = operator_settings(data)

    async def run() -> Resealed:
        async with changing(settings) as changes:
            return await reseal_secrets(changes, _vault(settings))

    report = asyncio.run(run())
    out.print(f"✓ {report.done} secrets encrypted anew", markup=False)
    for lost in report.lost:
        out.print(f"✗ {lost} cannot be opened with any key: it needs a new secret", markup=False)
    if report.lost:
        raise typer.Exit(FAILED)


def _several(option: str) -> list[str]:
    return [one.strip() for one in option.split(",") if one.strip()]


def _given(option: str | None) -> str:
    """Give the secret to keep, empty: make one. An option that turns out empty was meant to name one."""
    text = sys.stdin.readline().strip() if option == "-" else option
    if text == "":
        raise InvalidValue("--secret names no secret: it is empty. Leave it out to have one made.")
    return text or ""


def _vault(settings: Settings) -> Vault:
    return Vault(settings.secret_keys.get_secret_value())


def _show(issued: IssuedSecret, *, as_json: bool) -> None:
    secret = issued.secret
    if as_json:
        show_json({"id": secret.id, "tenant": secret.tenant, "source": secret.source, "signing_secret": issued.text})
    else:
        out.print(f"✓ secret {secret.id} for {secret.source}\n  {issued.text}   (shown once: keep it now)", markup=False)
