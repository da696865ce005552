# SPDX-License-Identifier: Apache-2.0
"""A worker's small HTTP face for probes and Prometheus: /livez, /readyz, /metrics. Nothing else, no framework, no tenant data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from bridge import metrics

REQUEST_S = 5.0
REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

Ready = Callable[[], dict[str, Any]]
"""Gives what `/readyz` says; the worker is ready where every value is true."""


class Health:
    """One connection, one request, one answer."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises: OSError where it is taken."""
        self._server = await asyncio.start_server(self._serve, host, port)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                code, kind, body = self._answer(head.split(b" ", 2))
                start = f"HTTP/1.1 {code} {REASONS[code]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                writer.write(start.encode() + b"connection: close\r\n\r\n" + body)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return  # a client that does not speak HTTP, or left
        finally:
            writer.close()

    def _answer(self, line: list[bytes]) -> tuple[int, str, bytes]:
        if line[0] not in (b"GET", b"HEAD") or len(line) < 3:
            return 405, "text/plain", b"GET only\n"
        match line[1].split(b"?", 1)[0]:
            case b"/livez":
                return 200, "application/json", b'{"live":true}'
            case b"/readyz":
                said = self._ready()
                return 200 if all(said.values()) else 503, "application/json", orjson.dumps(said)
            case b"/metrics":
                return 200, "text/plain; version=0.0.4; charset=utf-8", metrics.exposition()
        return 404, "text/plain", b"there are /livez, /readyz and /metrics\n"
