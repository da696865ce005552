# SPDX-License-Identifier: Apache-2.0
"""The view's side of the account: ask the HTTP look-up about every stored event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from tests.chaos.ledger import Target

AT_ONCE = 32


async def shown(target: Target, keys: Mapping[str, int], patience_s: float = 60) -> dict[tuple[str, str], str]:
    """
    Map (event key, process) to the status that `GET /events/{key}` shows; `keys` gives the tenant that owns the event.

    A 503 (the view is being rebuilt) is asked again; an event that is not found has no statuses.

    Raises: TimeoutError when the view does not come back; AssertionError on any answer but 200, 404 and 503.
    """
    statuses: dict[tuple[str, str], str] = {}
    left = iter(keys.items())
    async with asyncio.timeout(patience_s), aiohttp.ClientSession() as session:

        async def ask(key: str, headers: Mapping[str, str]) -> None:
            while True:
                async with session.get(f"{target.urls[0]}/events/{key}", headers=headers) as answer:
                    if answer.status == 503:
                        await asyncio.sleep(0.2)
                        continue
                    if answer.status == 404:
                        return
                    assert answer.status == 200, f"{key}: {answer.status} {await answer.text()}"
                    for execution in (await answer.json())["executions"]:
                        statuses[key, execution["process"]] = execution["status"]
                    return

        async def ask_on() -> None:
            for key, owner in left:  # shared: a task for each of a million keys would take gigabytes
                await ask(key, {"X-API-KEY": target.api_keys[owner]})

        await asyncio.gather(*(ask_on() for _ in range(AT_ONCE)))
    return statuses
