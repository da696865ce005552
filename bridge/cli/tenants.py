# SPDX-License-Identifier: Apache-2.0
"""`evb tenants`: who may send events, how many, and which processes get them."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import msgspec
import orjson
import typer

from bridge.cli.output import out, show_json, show_rows
from bridge.cli.spans import seconds_of
from bridge.cli.spelling import warn_of_unknown
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.credentials import Vault
from bridge.domain.errors import InvalidValue, NotFound
from bridge.domain.limits import Window
from bridge.hosting.find import find_processes
from bridge.registry.ingress import Points
from bridge.registry.keys import create_key
from bridge.registry.objects import Tenant
from bridge.registry.options import shown
from bridge.registry.session import changing, reading
from bridge.registry.tenants import change_tenant, create_tenant, find_tenant, set_process
from bridge.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Create, list, change and close tenants.")

Name = Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant.")]
WINDOWS_HELP = "Rate windows, all of which hold: 100/1s,5000/60s."
Windows = Annotated[str, typer.Option(help=WINDOWS_HELP)]


@app.command()
def create(name: Name, windows: Windows = "", data: Data = None, as_json: AsJson = False) -> None:
    """Create a tenant and its first API key, whose text is shown now and never again."""
    key = asyncio.run(_create(operator_settings(data), name, read_windows(windows)))
    if as_json:
        show_json({"tenant": name, "api_key": key})
    else:
        out.print(f"✓ tenant {name}\n  API key  {key}   (shown once: keep it now)", markup=False)


async def _create(settings: Settings, name: str, windows: tuple[Window, ...]) -> str:
    async with changing(settings) as changes:
        await create_tenant(changes, name, windows)
        return (await create_key(changes, name)).text


@app.command("list")
def list_(data: Data = None, as_json: AsJson = False) -> None:
    """List the tenants."""
    with reading(operator_settings(data)) as registry:
        rows = [_row(tenant) for tenant in registry.tenants()]
    show_rows(rows, ("tenant", "state", "windows"), as_json=as_json, empty="No tenants yet: `evb tenants create NAME`.")


@app.command()
def show(name: Name, data: Data = None) -> None:
    """Show a tenant with its credentials (never their texts) and its process settings, as JSON."""
    with reading(operator_settings(data)) as registry:
        tenant = registry.tenant(name)
        if tenant is None:
            raise NotFound(f"There is no tenant {name}.")
        hidden = {"digest", "ciphertext", "test", "live"}
        credentials = [*registry.api_keys(name), *registry.secrets(name), *registry.pairs(name), *registry.ingress.clients(name)]
        known = [{k: v for k, v in msgspec.to_builtins(one).items() if k not in hidden} for one in credentials]
        processes = [msgspec.to_builtins(one) | {"config": shown(one.config)} for one in registry.process_settings(name)]
    show_json(_row(tenant) | {"credentials": known, "processes": processes})


@app.command()
def change(
    name: Name,
    windows: Annotated[str | None, typer.Option(help=f"{WINDOWS_HELP} Empty: the default ones.")] = None,
    ingress_windows: Annotated[
        str | None, typer.Option(help="The same for requests to the Event Ingress dialect: 2/1s,25/1m,150/1h.")
    ] = None,
    ingress_points: Annotated[
        str | None, typer.Option(help="Windows for what its messages weigh: 3000/1m,30000/1h. Empty: they are not weighed.")
    ] = None,
    ingress_weights: Annotated[
        str | None, typer.Option(help="What a message weighs, by business process: createentity=20,updateentity=20.")
    ] = None,
    data: Data = None,
) -> None:
    """Change a tenant's limits, in every process within 2 s; what is not named stays as it is."""
    if windows is ingress_windows is ingress_points is ingress_weights is None:
        raise InvalidValue("Nothing to change: name at least one of the options.")
    new, ingress_new = (None if text is None else read_windows(text) for text in (windows, ingress_windows))

    async def run() -> dict[str, Any]:
        async with changing(operator_settings(data)) as changes:
            held, version = find_tenant(changes, name)
            points = _points(held.ingress_points, ingress_points, ingress_weights)
            changed = await change_tenant(
                changes, name, windows=new, ingress_windows=ingress_new, ingress_points=points, expected=version
            )
            return _row(changed)

    said = "  ".join(f"{member} {value}" for member, value in asyncio.run(run()).items() if member not in ("tenant", "state"))
    out.print(f"✓ tenant {name}: {said}", markup=False)


@app.command()
def close(name: Name, data: Data = None) -> None:
    """Close a tenant: its credentials open nothing any more. Its name stays taken."""

    async def run() -> None:
        async with changing(operator_settings(data)) as changes:
            await change_tenant(changes, name, closed=True)

    asyncio.run(run())
    out.print(f"✓ tenant {name} is closed", markup=False)


Process = Annotated[str, typer.Argument(help="Name of the process.")]


@app.command()
def enable(
    name: Name,
    process: Process,
    config: Annotated[
        str, typer.Option(help="All its options for this tenant, as JSON; `-`: read from stdin, which no process list shows.")
    ] = "",
    data: Data = None,
) -> None:
    """Let a process have a tenant's events, and configure it for this tenant."""
    text = sys.stdin.read() if config == "-" else config
    _set(operator_settings(data), name, process, enabled=True, config=_object(text) if config else None)


@app.command()
def disable(name: Name, process: Process, data: Data = None) -> None:
    """Keep a tenant's events from a process."""
    _set(operator_settings(data), name, process, enabled=False, config=None)


def _set(settings: Settings, name: str, process: str, *, enabled: bool, config: dict[str, Any] | None) -> None:
    vault = Vault(settings.secret_keys.get_secret_value())
    models = {installed.name: installed.process.Config for installed in find_processes().installed}

    async def run() -> None:
        async with changing(settings) as changes:
            await set_process(changes, vault, name, process, enabled=enabled, config=config, model=models.get(process))
            warn_of_unknown(changes.registry, process)

    asyncio.run(run())
    out.print(f"✓ {process} is {'enabled' if enabled else 'disabled'} for {name}", markup=False)


def read_windows(text: str) -> tuple[Window, ...]:
    """Read `100/1s,5000/60s`; an empty text means the default windows. Raises: InvalidValue."""
    windows = []
    for part in filter(None, text.split(",")):
        quota, _, span = part.strip().partition("/")
        if not quota.isdigit():
            raise InvalidValue(f"{part.strip()!r} is not a rate window: write <events>/<time>, e.g. 100/1s or 5000/1m.")
        windows.append(Window(int(quota), seconds_of(span)))
    return tuple(windows)


def _points(held: Points, windows: str | None, weights: str | None) -> Points:
    """Change what is given of what a tenant's messages may weigh. Raises: InvalidValue."""
    return Points(
        windows=held.windows if windows is None else read_windows(windows),
        weights=held.weights if weights is None else dict(_weight(part) for part in filter(None, weights.split(","))),
    )


def _weight(text: str) -> tuple[str, int]:
    process, _, points = text.strip().partition("=")
    if not process or not points.isdecimal():
        raise InvalidValue(f"{text.strip()!r} is not what a process weighs: write <process>=<points>, e.g. createentity=20.")
    return process, int(points)


def _object(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as err:
        raise InvalidValue(f"--config is not JSON: {err}.") from err
    if not isinstance(found, dict):
        raise InvalidValue("--config must be a JSON object.")
    return found


def _row(tenant: Tenant) -> dict[str, Any]:
    points = tenant.ingress_points
    return {
        "tenant": tenant.name,
        "state": tenant.state,
        "windows": _written(tenant.limits),
        "ingress_windows": _written(tenant.ingress_limits),
        "ingress_points": _written(points.windows),
        "ingress_weights": ",".join(f"{process}={weight}" for process, weight in points.weights.items()),
    }


def _written(windows: tuple[Window, ...]) -> str:
    return ",".join(f"{window.quota}/{window.seconds}s" for window in windows)
