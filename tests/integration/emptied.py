# SPDX-License-Identifier: Apache-2.0
"""
A way to the broker on which answers about the cluster can be made to name no broker, as those of a fenced broker do.

It names itself as the broker's address, so that every later connection comes through it too.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress

from bridge.stack.ports import LOOPBACK, free_port

METADATA = 3
FLEXIBLE = 9
"""From this version on, lists and texts have lengths of variable size, plus one."""


class Emptied:
    """`empty` may be set at any time; `emptied` counts the answers that named nobody."""

    def __init__(self, broker_port: int) -> None:
        self.port, self.empty, self.emptied = free_port(), False, 0
        self._broker_port = broker_port

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Be there for as long as the block lasts, in a thread of its own."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._accept, LOOPBACK, self.port))
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, self._broker_port)
        asked: dict[int, bool] = {}
        try:
            await asyncio.gather(self._requests(reader, back, asked), self._answers(there, writer, asked))
        finally:
            for one in (writer, back):
                one.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, bool]) -> None:
        async for frame in _frames(reader):
            for request in self.passed_on(frame):
                kind, version, number = struct.unpack_from(">hhi", request)
                asked[number] = kind == METADATA and version >= FLEXIBLE
                writer.write(struct.pack(">i", len(request)) + request)
        writer.close()

    def passed_on(self, request: bytes) -> Sequence[bytes]:
        """Give what the broker gets now that a client has sent a request."""
        return (request,)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, bool]) -> None:
        async for frame in _frames(reader):
            (number,) = struct.unpack_from(">i", frame)
            answer = self._changed(frame) if asked.pop(number) else frame
            writer.write(struct.pack(">i", len(answer)) + answer)
        writer.close()

    def _changed(self, answer: bytes) -> bytes:
        """Replace the brokers of a metadata answer: by none, or by the one broker at our own address."""
        start = 4 + 1 + 4  # number, no tagged fields, throttle time
        count, at = _number(answer, start)
        assert count == 2, "one broker"
        node = at
        host, at = _number(answer, at + 4)
        port = at + host - 1
        rack, at = _number(answer, port + 4)
        end = at + max(rack - 1, 0) + 1  # and no tagged fields
        if self.empty:
            self.emptied += 1
            return answer[:start] + b"\x01" + answer[end:]
        return answer[:node] + answer[node:port] + struct.pack(">i", self.port) + answer[port + 4 :]


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(size)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable size; gives it and the place behind it."""
    found = shift = 0
    while True:
        found |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return found, at


async def _end(server: asyncio.Server) -> None:
    server.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for one in connections:
        one.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
