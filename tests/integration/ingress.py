# SPDX-License-Identifier: Apache-2.0
"""A caller of the Event Ingress dialect in tests: a client of a tenant, its token, and its operations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from bridge.domain.limits import Window
from bridge.domain.principal import TokenScope
from bridge.registry.clients import create_client
from bridge.registry.session import changing
from bridge.registry.tenants import change_tenant
from bridge.settings import Settings
from tests.web_under_test import Reply, until

Ask = Callable[..., Reply]
FORM = "application/x-www-form-urlencoded"
WIDE = (Window(100_000, 1),)


@dataclass(frozen=True)
class Client:
    """A client's credentials."""

    id: str
    secret: str


@dataclass(frozen=True)
class Caller:
    """A token's holder at one server."""

    ask: Ask
    token: str
    tenant: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send one operation of messages; a body that is no bytes is written as JSON."""
        return self.ask_for(method, f"/eventingress{path}", body, **headers)

    def ask_for(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send one operation of any part of the product."""
        given = {"authorization": f"Bearer {self.token}", "x_tenant_id": self.tenant} | headers
        if body is not None:
            given.setdefault("content_type", "application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(method, path, body, **given)

    def send(self, event_type: str, subtype: str, **members: Any) -> str:
        """Send a message and give its id."""
        answer = self.call("POST", "/v1/events", {"eventType": event_type, "eventSubtype": subtype} | members)
        assert answer.status == 202, answer.body
        return str(answer.json()["data"]["eventId"])

    def event(self, event_id: str) -> Any:
        """Look a message up."""
        answer = self.call("GET", f"/v1/events/{event_id}")
        assert answer.status == 200, answer.body
        assert answer.json()["messages"] is None
        return answer.json()["data"]


def make_client(
    settings: Settings,
    tenant: str,
    name: str = "program",
    scopes: Sequence[str] = tuple(TokenScope),
    windows: Sequence[Window] = WIDE,
) -> Client:
    """Make a client; its tenant may ask as often as it likes unless `windows` says otherwise."""

    async def make() -> Client:
        async with changing(settings) as changes:
            await change_tenant(changes, tenant, ingress_windows=windows)
            made = await create_client(changes, tenant, name, scopes)
            return Client(made.client.id, made.secret)

    return asyncio.run(make())


def token_of(ask: Ask, client: Client, **fields: str) -> Reply:
    """Ask for a token."""
    given = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": client.secret} | fields
    return ask("POST", "/connect/token", urlencode(given).encode(), content_type=FORM)


def caller(ask: Ask, settings: Settings, tenant: str, **options: Any) -> Caller:
    """Give a caller with a token of a new client, once the server knows the client."""
    client = make_client(settings, tenant, **options)
    until(lambda: token_of(ask, client).status == 200)
    return Caller(ask, token_of(ask, client).json()["access_token"], tenant)
