# SPDX-License-Identifier: Apache-2.0
"""The tenant that every measurement sends as: rate windows are kept and counted, and wide enough never to refuse."""

from __future__ import annotations

from bridge.credentials import Vault
from bridge.domain.limits import Window
from bridge.domain.principal import Scope
from bridge.registry.keys import create_key
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant, set_process
from bridge.settings import Settings

WINDOWS = (Window(100_000, 1), Window(1_000_000, 60))


async def create(settings: Settings, name: str, without: str = "") -> str:
    """Create the tenant, `without` a process that it would have otherwise, and give its API key's text."""
    async with changing(settings) as changes:
        await create_tenant(changes, name, WINDOWS)
        if without:
            vault = Vault(settings.secret_keys.get_secret_value())
            await set_process(changes, vault, name, without, enabled=False, config=None, model=None)
        key = await create_key(changes, name, "bench", (Scope.EVENTS_WRITE, Scope.STATUS_READ))
    return key.text
