# SPDX-License-Identifier: Apache-2.0
"""
Eight consumers compete for the same events while the web server and Valkey are killed: each event is handled once.

Four hundred events in `make test`; TEST_LISTENERS=5000 for the long form.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bridge.kafka.admin import ensure_topics
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.buildable import make_pair
from tests.integration.listeners import Listener
from tests.integration.valkey import OwnValkey
from tests.web_under_test import Server, free_port, make_tenants

MANY = int(os.environ.get("TEST_LISTENERS", "400"))
LISTENERS, TOGETHER = 8, 50
EVENT, KEYS = "parcel.sent", ("labels", "mails")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    server = OwnValkey(tmp_path).start()
    yield server
    server.kill()


class House:
    """A web server that is started again on its port whenever it was killed."""

    def __init__(self, stack: StackOfTests, settings: Settings) -> None:
        self._stack, self._settings = stack, settings
        self.server = Server(stack, settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._settings.port}"

    def kill(self) -> None:
        """Kill it with everything that belongs to it, and start it again."""
        os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait()
        self.server = Server(self._stack, self._settings)


@pytest.mark.timeout(600)
async def test_each_event_is_handled_once_whatever_is_killed(stack: StackOfTests, valkey: OwnValkey) -> None:
    settings = stack.settings(redis=valkey.settings(), port=free_port(), claim_lease_s=25, partitions=4)
    await asyncio.to_thread(ensure_topics, settings)
    await asyncio.to_thread(make_tenants, settings, "acme")
    _, secret = await asyncio.to_thread(make_pair, settings, "acme", "shop")
    house = await asyncio.to_thread(House, stack, settings)
    try:
        await asyncio.to_thread(house.server.wait_ready)
        keys = await _emit(house.url, secret)
        over = asyncio.Event()
        listeners = [Listener(lambda: house.url, secret, EVENT, tx_key) for tx_key in KEYS for _ in range(LISTENERS // 2)]
        running = [asyncio.create_task(listener.run(over)) for listener in listeners]
        for part, break_it in ((0.2, house.kill), (0.4, lambda: _restart(valkey)), (0.6, house.kill)):
            await _until(listeners, int(part * len(KEYS) * len(keys)))
            await asyncio.to_thread(break_it)
        await _until(listeners, len(KEYS) * len(keys))
        over.set()
        await asyncio.gather(*running)
        for tx_key in KEYS:
            handled = sum((one.handled for one in listeners if one.tx_key == tx_key), Counter[str]())
            assert handled == Counter(keys), "each event once per transaction key"
        assert not any(one.late for one in listeners)
        assert await _counts(house.url, secret) == {tx_key: len(keys) for tx_key in KEYS}
    finally:
        os.killpg(house.server.process.pid, signal.SIGKILL)
        house.server.process.wait()


def _restart(valkey: OwnValkey) -> None:
    valkey.kill()
    valkey.start()


async def _emit(url: str, secret: str) -> list[str]:
    keys: list[str] = []
    async with aiohttp.ClientSession(headers={"X-BUILDABLE-SECRET": secret}) as session:

        async def emit(n: int) -> None:
            async with session.post(f"{url}/emit", json={"event": EVENT, "payload": {"n": n}}) as answer:
                assert answer.status == 200, await answer.text()
                keys.append((await answer.json())["key"])

        for start in range(0, MANY, TOGETHER):
            await asyncio.gather(*(emit(n) for n in range(start, min(start + TOGETHER, MANY))))
    return keys


async def _until(listeners: list[Listener], count: int) -> None:
    """Wait until so many events were handled; progress must go on."""
    seen, still = -1, 0.0
    while (handled := sum(one.handled.total() for one in listeners)) < count:
        still = still + 0.2 if handled == seen else 0.0
        assert still < 60, f"{handled} of {count} were handled, and nothing moves"
        seen = handled
        await asyncio.sleep(0.2)


async def _counts(url: str, secret: str) -> dict[str, int]:
    async with aiohttp.ClientSession(headers={"X-BUILDABLE-SECRET": secret}) as session:
        found = {}
        for tx_key in KEYS:
            asked = {"eventName": EVENT, "txKey": tx_key, "since": 0, "txState": "finished"}
            async with session.post(f"{url}/query", json=asked) as answer:
                found[tx_key] = (await answer.json())["total"]
        return found
