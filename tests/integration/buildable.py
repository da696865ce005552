# SPDX-License-Identifier: Apache-2.0
"""A caller of the Buildable dialect in tests: a secret key of a tenant, and its operations."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from bridge.registry.pairs import create_pair
from bridge.registry.session import changing
from bridge.settings import Settings
from tests.web_under_test import Reply, Server


@dataclass(frozen=True)
class Caller:
    """One value of a secret key, at one server."""

    server: Server
    secret: str
    prefix: str = ""

    def ask(self, operation: str, **members: Any) -> Reply:
        """POST one operation."""
        return self.server.ask(
            "POST",
            f"{self.prefix}/{operation}",
            json.dumps(members, separators=(",", ":")).encode(),
            x_buildable_secret=self.secret,
            content_type="application/json",
        )

    def emit(self, event: str, **payload: Any) -> str:
        """Emit an event and give its key."""
        answer = self.ask("emit", event=event, payload=payload)
        assert answer.status == 200, answer.body
        assert answer.json()["status"] == "success"
        return str(answer.json()["key"])

    def query(self, event: str, tx_key: str, **members: Any) -> Any:
        """Query and give the document."""
        answer = self.ask("query", **{"eventName": event, "txKey": tx_key, "since": 0} | members)
        assert answer.status == 200, answer.body
        return answer.json()


def make_pair(settings: Settings, tenant: str, name: str) -> tuple[str, str]:
    """Make a secret key; gives its test and its live value."""

    async def make() -> tuple[str, str]:
        async with changing(settings) as changes:
            made = await create_pair(changes, tenant, "buildable", name)
            return made.test, made.live

    return asyncio.run(make())
