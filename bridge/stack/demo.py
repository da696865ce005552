# SPDX-License-Identifier: Apache-2.0
"""
The demo tenant of a stack, made once: the same key and signing secret are shown at every start with the same data.

Their text is kept in the data directory, readable by its owner only. Made with the registry's own use cases, as for anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from bridge.credentials import Vault, digest
from bridge.domain.errors import Conflict
from bridge.domain.principal import Scope
from bridge.registry.changes import now_ms
from bridge.registry.clients import create_client, revoke_client
from bridge.registry.flow_tokens import Wish, create_flow_token, revoke_flow_token
from bridge.registry.keys import create_key
from bridge.registry.pairs import create_pair, revoke_pair
from bridge.registry.session import changing, reading
from bridge.registry.signing import create_secret
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from bridge.stack.cache import replace
from bridge.stack.directory import DEMO
from bridge.stack.found import DemoClient, DemoPair, DemoTenant, DemoToken


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo tenant with its secret key (Buildable), client (Event Ingress) and token (Flow)."""

    tenant: DemoTenant
    buildable: DemoPair
    eventingress: DemoClient
    flow: DemoToken


NAME, SOURCE = "demo", "github"
SCOPES = (Scope.EVENTS_WRITE, Scope.STATUS_READ, Scope.CORRELATION_SET)


def demo_credentials(settings: Settings, data: Path) -> Demo:
    """
    Give the demo tenant of this data directory with its credentials, making what is missing.

    Kafka and Redis must run. Where a kept credential opens nothing (revoked, or another topic prefix), all are made anew.
    Raises: BrokerUnavailable, ViewUnavailable, Misconfigured.
    """
    kept = _kept(data / DEMO)
    if kept and _is_known(settings, kept):
        return kept
    made = asyncio.run(_make(settings))
    replace(data / DEMO, orjson.dumps(asdict(made)).decode(), mode=0o600)
    return made


def _kept(file: Path) -> Demo | None:
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError, TypeError, KeyError):  # cut or older: new ones are made
        known = orjson.loads(file.read_bytes())
        pair, client = DemoPair(**known["buildable"]), DemoClient(**known["eventingress"])
        return Demo(DemoTenant(**known["tenant"]), pair, client, DemoToken(**known["flow"]))
    return None


def _is_known(settings: Settings, demo: Demo) -> bool:
    with reading(settings) as registry:
        found, pair = (
            registry.credentials.api_key(digest(demo.tenant.api_key)),
            registry.credentials.pair(digest(demo.buildable.live)),
        )
        client = registry.ingress.client(demo.eventingress.client_id)
        token = registry.flow_tokens.token(digest(demo.flow.token))
        return all(one is not None and one.valid(now_ms()) for one in (found, pair and pair[0], client, token))


async def _make(settings: Settings) -> Demo:
    vault = Vault(settings.secret_keys.get_secret_value())
    async with changing(settings) as changes:
        with contextlib.suppress(Conflict):  # made by a start that was cut before its key was kept
            await create_tenant(changes, NAME)
        key = await create_key(changes, NAME, "evb dev", SCOPES)
        secret = await create_secret(changes, vault, NAME, SOURCE)
        for old in changes.registry.pairs(NAME):
            if old.name == NAME:
                await revoke_pair(changes, NAME, old.id)
        pair = await create_pair(changes, NAME, "buildable", NAME)
        for one in changes.registry.ingress.clients(NAME):
            if one.name == NAME:
                await revoke_client(changes, NAME, one.id)
        client = await create_client(changes, NAME, NAME)
        for former in changes.registry.flow_tokens.tokens(NAME):
            if former.name == NAME:
                await revoke_flow_token(changes, NAME, former.id)
        token = await create_flow_token(changes, NAME, Wish(NAME))
    shown = DemoClient(client.client.id, client.secret, NAME)
    return Demo(DemoTenant(NAME, key.text, secret.text), DemoPair(pair.test, pair.live), shown, DemoToken(token.text, NAME))
