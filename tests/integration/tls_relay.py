# SPDX-License-Identifier: Apache-2.0
"""TLS in front of a server that has none: the embedded Valkey is built without it, so the client's side is tried on this."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def tls_relay(target: int, certificate: Path, key: Path) -> Iterator[int]:
    """Give the port on which the server at `target` is reached by TLS; runs in a thread of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_only_faults)
    thread = threading.Thread(target=loop.run_forever, name="tls-relay")
    thread.start()
    listen = asyncio.start_server(lambda r, w: _serve(target, r, w), "127.0.0.1", 0, ssl=context)
    listening = asyncio.run_coroutine_threadsafe(listen, loop).result(10)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side ends; then both end, as one connection would."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.transport.abort()
        return
    ways = [asyncio.ensure_future(_carry(reader, inner_writer)), asyncio.ensure_future(_carry(inner_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, inner_writer):
            end.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


async def _end(listening: asyncio.Server) -> None:
    listening.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _only_faults(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A client that does not trust us ends the handshake: that is what some tests want to see."""
    if not isinstance(context.get("exception"), (OSError, ssl.SSLError)):
        loop.default_exception_handler(context)
