# SPDX-License-Identifier: Apache-2.0
"""
The demo tenant of a stack, made once: the same key and signing secret are shown at every start with the same data.

Their text is kept in the data directory, readable by its owner only. Made with the registry's own use cases, as for anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from pathlib import Path

import orjson

from bridge.credentials import Vault, digest
from bridge.domain.errors import Conflict
from bridge.domain.principal import Scope
from bridge.registry.changes import now_ms
from bridge.registry.keys import create_key
from bridge.registry.session import changing, reading
from bridge.registry.signing import create_secret
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from bridge.stack.cache import replace
from bridge.stack.directory import DEMO
from bridge.stack.found import DemoTenant

NAME, SOURCE = "demo", "github"
SCOPES = (Scope.EVENTS_WRITE, Scope.STATUS_READ, Scope.CORRELATION_SET)


def demo_tenant(settings: Settings, data: Path) -> DemoTenant:
    """
    Give the demo tenant of this data directory, making what is missing of it.

    Kafka and Redis must run. Where the kept key opens nothing (revoked, or another topic prefix), a new one is made.
    Raises: BrokerUnavailable, ViewUnavailable, Misconfigured.
    """
    kept = _kept(data / DEMO)
    if kept and _is_known(settings, kept):
        return kept
    made = asyncio.run(_make(settings))
    replace(data / DEMO, orjson.dumps(asdict(made)).decode(), mode=0o600)
    return made


def _kept(file: Path) -> DemoTenant | None:
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError, TypeError):  # cut: a new key is made
        return DemoTenant(**orjson.loads(file.read_bytes()))
    return None


def _is_known(settings: Settings, tenant: DemoTenant) -> bool:
    with reading(settings) as registry:
        found = registry.api_key(digest(tenant.api_key))
        return found is not None and found.valid(now_ms())


async def _make(settings: Settings) -> DemoTenant:
    vault = Vault(settings.secret_keys.get_secret_value())
    async with changing(settings) as changes:
        with contextlib.suppress(Conflict):  # made by a start that was cut before its key was kept
            await create_tenant(changes, NAME)
        key = await create_key(changes, NAME, "evb dev", SCOPES)
        secret = await create_secret(changes, vault, NAME, SOURCE)
    return DemoTenant(NAME, key.text, secret.text)
