# SPDX-License-Identifier: Apache-2.0
"""Servers on loopback that count who comes, and names that resolve to them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """Resolves names as it is told, one answer after the other, the last one for ever; counts how often it was asked."""

    def __init__(self, *answers: dict[str, list[str]]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if host not in answer:
            raise OSError(f"no such name: {host}")
        kind = {True: socket.AF_INET6, False: socket.AF_INET}
        return [ResolveResult(hostname=host, host=a, port=port, family=kind[":" in a], proto=0, flags=0) for a in answer[host]]

    async def close(self) -> None:
        pass


class Seen(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Canary:
    """A server on loopback that keeps what comes, and answers as it is told."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address, self.port = address, 0
        self.requests: list[Seen] = []
        self.answer = lambda: web.Response(text="here")

    @property
    def visits(self) -> int:
        return len(self.requests)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(Seen(request.method, request.path_qs, request.headers, await request.read()))
        return self.answer()


@asynccontextmanager
async def listening(address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Canary]:
    """A canary that listens."""
    canary = Canary(address)
    runner = web.ServerRunner(web.Server(canary.handle))
    await runner.setup()
    site = web.TCPSite(runner, address, port)
    await site.start()
    canary.port = runner.addresses[0][1]
    try:
        yield canary
    finally:
        await runner.cleanup()
