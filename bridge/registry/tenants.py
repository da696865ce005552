# SPDX-License-Identifier: Apache-2.0
"""Use cases for tenants and their processes: create, change, close, enable, configure. Called by commands and doors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from bridge.credentials import Vault
from bridge.decisions.facts import Ref
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.domain.limits import Window
from bridge.registry.changes import Changes, now_ms
from bridge.registry.ingress import Points
from bridge.registry.objects import ProcessSetting, Tenant
from bridge.registry.options import opened, sealed

MOST_WINDOWS = 8
LONGEST_WINDOW_S = 86_400
LARGEST_QUOTA = 1_000_000


async def create_tenant(changes: Changes, name: str, windows: Sequence[Window] = ()) -> Tenant:
    """
    Make a tenant; it has no credentials yet.

    Raises: Conflict where the name is taken (a closed tenant's too), InvalidValue, and what decisions raise.
    """
    tenant = Tenant(name=name, windows=_checked(windows), created_ms=now_ms())
    if changes.registry.tenant(name) is not None:
        raise Conflict(f"There is a tenant {name} already.")
    await changes.put(tenant, expected=0)
    return tenant


async def change_tenant(
    changes: Changes,
    name: str,
    *,
    windows: Sequence[Window] | None = None,
    ingress_windows: Sequence[Window] | None = None,
    ingress_points: Points | None = None,
    closed: bool | None = None,
    expected: int | None = None,
) -> Tenant:
    """
    Change what is given of a tenant. Closing one makes all its credentials useless at once; opening it again revives them.

    Shape:  without `expected`, the change is based on the version that this process sees.
    Raises: NotFound, Conflict, InvalidValue, and what decisions raise.
    """
    tenant, version = find_tenant(changes, name)
    if windows is not None:
        tenant = msgspec.structs.replace(tenant, windows=_checked(windows))
    if ingress_windows is not None:
        tenant = msgspec.structs.replace(tenant, ingress_windows=_checked(ingress_windows))
    if ingress_points is not None:
        tenant = msgspec.structs.replace(tenant, ingress_points=_weighed(ingress_points))
    if closed is not None:
        tenant = msgspec.structs.replace(tenant, state="closed" if closed else "active")
    await changes.put(tenant, version if expected is None else expected)
    return tenant


async def set_process(
    changes: Changes,
    vault: Vault,
    tenant: str,
    process: str,
    *,
    enabled: bool | None = None,
    config: dict[str, Any] | None = None,
    model: type[BaseModel] | None = None,
) -> ProcessSetting:
    """
    Enable, disable or configure a process for a tenant; `config` replaces all options, and secret ones are kept encrypted.

    Shape:  `model` is the process' Config where its plugin is installed here; without it there can be no options.
    Raises: NotFound for an unknown tenant, Conflict, InvalidValue naming every wrong option, Misconfigured without a key for a
            secret, and what decisions raise.
    """
    find_tenant(changes, tenant)
    version, found = changes.registry.held(Ref("process", tenant, process))
    setting = found if isinstance(found, ProcessSetting) else ProcessSetting(tenant=tenant, process=process)
    if enabled is not None:
        setting = msgspec.structs.replace(setting, enabled=enabled)
    if config is not None:
        setting = msgspec.structs.replace(setting, config=_sealed(process, config, model, vault))
    if model is not None and setting.enabled is not False:
        _check_config(model, setting, vault)
    await changes.put(setting, version)
    return setting


def find_tenant(changes: Changes, name: str) -> tuple[Tenant, int]:
    """Give a tenant and its version. Raises: NotFound."""
    try:
        return changes.find(Ref("tenant", name, ""), Tenant)
    except NotFound:
        raise NotFound(f"There is no tenant {name}.") from None


def _checked(windows: Sequence[Window]) -> tuple[Window, ...]:
    if len(windows) > MOST_WINDOWS or len({window.seconds for window in windows}) != len(windows):
        raise InvalidValue(f"At most {MOST_WINDOWS} windows, each of another length.")
    for window in windows:
        if not 1 <= window.quota <= LARGEST_QUOTA or not 1 <= window.seconds <= LONGEST_WINDOW_S:
            raise InvalidValue(
                f"{window.quota} in {window.seconds} s is not possible: 1 to {LARGEST_QUOTA} in 1 to {LONGEST_WINDOW_S} s are."
            )
    return tuple(sorted(windows, key=lambda window: window.seconds))


def _weighed(points: Points) -> Points:
    windows = _checked(points.windows)
    heaviest = max(points.weights.values(), default=0)
    if any(window.quota < heaviest for window in windows):
        raise InvalidValue(f"A message that weighs {heaviest} points never fits into a window of fewer.")
    return Points(weights=points.weights, windows=windows)


def _sealed(process: str, config: dict[str, Any], model: type[BaseModel] | None, vault: Vault) -> dict[str, Any]:
    if config and model is None:
        raise InvalidValue(f"The process {process} is not installed here, so nobody can tell which of its options are secret.")
    return sealed(config, model, vault) if model else {}


def _check_config(model: type[BaseModel], setting: ProcessSetting, vault: Vault) -> None:
    try:
        options = opened(setting.config, vault.open)
    except ValueError as err:
        raise InvalidValue(f"The configuration of {setting.process} cannot be read, give it anew: {err}.") from err
    try:
        model.model_validate(options)
    except ValidationError as err:
        faults = "; ".join(f"{'/'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in err.errors())
        raise InvalidValue(f"The configuration of {setting.process} is not valid: {faults}.") from err
