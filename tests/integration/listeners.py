# SPDX-License-Identifier: Apache-2.0
"""
A consumer that follows the polling loop of the vendor's published client: it pages through what is offered, claims each event
before it handles it, hands the payload to its handler, and transacts with what that returned.

An event whose claim was refused, or whose claim brought an error, is left alone; a transaction is repeated until it is answered.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PAUSE_S = 0.3  # the client's own pause is 3 s


@dataclass
class Listener:
    """One of several that share a transaction key; `handled` counts by event key what its handler was given."""

    url: Callable[[], str]
    secret: str
    event: str
    tx_key: str
    handled: Counter[str] = field(default_factory=Counter)
    late: int = 0

    async def run(self, over: asyncio.Event) -> None:
        """Poll until it is over."""
        async with aiohttp.ClientSession(headers={"X-BUILDABLE-SECRET": self.secret}) as session:
            while not over.is_set():
                await self._round(session)
                await asyncio.sleep(PAUSE_S)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        page, pages = 1, 1
        while page <= pages:
            asked = {"eventName": self.event, "txKey": self.tx_key, "since": 0, "txState": "does-not-exist"}
            status, found = await self._post(session, "query", asked | {"page": page, "pageSize": 10})
            if status != 200:
                return
            pages, page = found["totalPages"], page + 1
            for row in found["rows"]:
                await self._take(session, row)

    async def _take(self, session: aiohttp.ClientSession, row: dict[str, Any]) -> None:
        status, _ = await self._post(session, "init", {"key": row["key"], "txKey": self.tx_key, "eventName": self.event})
        if status != 200:
            return
        self.handled[row["key"]] += 1
        output = json.dumps({"seen": json.loads(row["payload"])["n"]})
        asked = {"key": row["key"], "txKey": self.tx_key, "output": output, "state": "finished"}
        while True:
            status, _ = await self._post(session, "transact", asked)
            if status == 200:
                return
            if status == 409:
                self.late += 1
                return
            await asyncio.sleep(0.2)

    async def _post(self, session: aiohttp.ClientSession, operation: str, asked: dict[str, Any]) -> tuple[int, Any]:
        """Give the answer; status 0 where the connection broke."""
        try:
            async with session.post(f"{self.url()}/{operation}", json=asked) as answer:
                return answer.status, await answer.json()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, None
