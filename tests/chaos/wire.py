# SPDX-License-Identifier: Apache-2.0
"""
The network between the product and the broker, as a TCP proxy that can be cut, made slow and made narrow.

The broker names the proxy as its address to everybody who comes through it, so that no client finds a way around.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from bridge.stack.cache import replace
from bridge.stack.kafka import KafkaPart
from bridge.stack.ports import LOOPBACK, free_port

State = Literal["whole", "cut", "slow", "narrow"]
LATENCY_S = 0.2
BYTES_A_SECOND = 1000
PIECE = 64 * 1024
Pieces = asyncio.Queue[tuple[float, bytes]]
"""What is under way, each piece with when it arrives."""


class WiredKafka(KafkaPart):
    """The embedded broker with a second listener, whose address is `wire_port`."""

    wired_port = 0
    wire_port = 0

    def _write_configuration(self) -> None:
        super()._write_configuration()
        self.wired_port = self.wired_port or free_port()
        file = self._directory / "server.properties"
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
        lines["listeners"] += f",WIRED://{LOOPBACK}:{self.wired_port}"
        lines["advertised.listeners"] += f",WIRED://{LOOPBACK}:{self.wire_port}"
        lines["listener.security.protocol.map"] = "PLAINTEXT:PLAINTEXT,WIRED:PLAINTEXT,CONTROLLER:PLAINTEXT"
        replace(file, "".join(f"{name}={value}\n" for name, value in lines.items()))


class Wire:
    """Everything that comes to `port` goes to the broker, as its `state` allows; a change counts for what is open, too."""

    def __init__(self, kafka: WiredKafka) -> None:
        self._kafka = kafka
        self._open: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.state: State = "whole"

    @property
    def port(self) -> int:
        return self._kafka.wire_port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Be there for as long as the block lasts."""
        async with await asyncio.start_server(self._began, LOOPBACK, self.port):
            try:
                yield
            finally:
                self.become("cut")
                await asyncio.gather(*self._connections)

    def become(self, state: State) -> None:
        """Change the state; a wire that is cut loses its connections, and takes no others."""
        self.state = state
        if state == "cut":
            for writer in self._open:
                writer.transport.abort()

    def _began(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._accept(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == "cut":
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self._kafka.wired_port)
        except OSError:  # the broker is away, as it may be
            writer.transport.abort()
            return
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._open -= {writer, back}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what comes and give it on; where the wire is slow, later, but no slower one after another."""
        under_way: Pieces = asyncio.Queue()
        await asyncio.gather(self._take(reader, under_way), self._give(under_way, writer))

    async def _take(self, reader: asyncio.StreamReader, under_way: Pieces) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(ConnectionError):
            while piece := await reader.read(BYTES_A_SECOND // 10 if self.state == "narrow" else PIECE):
                if self.state == "narrow":
                    await asyncio.sleep(len(piece) / BYTES_A_SECOND)
                under_way.put_nowait((clock() + (LATENCY_S if self.state == "slow" else 0.0), piece))
        under_way.put_nowait((0.0, b""))

    async def _give(self, under_way: Pieces, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(ConnectionError):
            due, piece = await under_way.get()
            while piece:
                await asyncio.sleep(max(0.0, due - clock()))
                writer.write(piece)
                await writer.drain()
                due, piece = await under_way.get()
        writer.transport.abort()
