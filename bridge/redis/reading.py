# SPDX-License-Identifier: Apache-2.0
"""Read from the live view: several commands in one round trip, and never a half-built view taken for a whole one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

from bridge.domain.errors import ViewUnavailable
from bridge.domain.limits import MIB
from bridge.redis.epoch import require_whole
from bridge.redis.keys import Keys
from bridge.redis.pipe import Argument, Pipe
from bridge.redis.scripts import Script

BATCH_BYTES, PAGE_BYTES = 2 * MIB, 32 * MIB
"""What is read from Redis at a time, so that nothing else waits for it; and what a page shows, but for its first event."""

Command = Sequence[Argument]


async def read(pipe: Pipe, keys: Keys, commands: Sequence[Command]) -> list[Any]:
    """
    Run commands in one round trip and give their replies.

    Order:  the server runs them in the order given, though others' commands may come between them.
    Raises: ViewUnavailable where Redis is away or the view is lost, hiredis.ReplyError where a command is wrong.
    """
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    replies: list[Any] = []
    run_id = pipe.run_id

    def done(reply: Any) -> None:
        replies.append(reply)
        if len(replies) == len(commands) + 1 and not answered.done():
            answered.set_result(None)

    pipe.send(("GET", keys.epoch), done)
    for command in commands:
        pipe.send(command, done)
    await answered
    for reply in replies:
        if isinstance(reply, ViewUnavailable):
            raise reply
        if isinstance(reply, Exception):
            raise ViewUnavailable(f"Redis cannot serve now: {reply}.") from reply
    require_whole(replies[0], run_id)
    return replies[1:]


async def pages(pipe: Pipe, keys: Keys, key: str, first: Any) -> AsyncIterator[list[bytes]]:
    """
    Give the members of a set, page by page, so that a huge set stops nobody else; one may come in two pages.

    Shape: `first` is the reply to `page(key)`; sets of up to a hundred members fit into it.
    """
    cursor, found = first
    yield found
    while cursor != b"0":
        ((cursor, found),) = await read(pipe, keys, [page(key, cursor)])
        yield found


async def scripted(pipe: Pipe, keys: Keys, script: Script, names: Sequence[Argument], args: Sequence[Argument]) -> Any:
    """Run a script that reads, and give its reply: the view was whole when it ran. Raises: as `read`."""
    _, reply = await asyncio.gather(read(pipe, keys, []), pipe.script(script, names, args))  # in this order, on one connection
    return reply


class Turns:
    """What is large, each tenant reads one after another."""

    def __init__(self) -> None:
        self._of: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __call__(self, tenant: str) -> asyncio.Lock:
        """Give the tenant's turn, to be waited for."""
        return self._of.setdefault(tenant, asyncio.Lock())


def is_last(reply: Any) -> bool:
    """Say whether a page of a set, as the server gives it, is the last one."""
    return bool(reply[0] == b"0")


async def entries(
    pipe: Pipe, keys: Keys, names: Sequence[str], fields: Sequence[str], turn: asyncio.Lock
) -> list[list[bytes | None]]:
    """
    Give fields of hashes; they may be large, so they are read batch by batch, in the tenant's `turn` where they are.

    Shape:  an entry for each name, but that the list ends before its values have more than `PAGE_BYTES`, never before its first.
    Raises: as `read`.
    """
    lengths = await read(pipe, keys, [("HSTRLEN", name, field) for name in names for field in fields])
    sizes = [sum(lengths[at : at + len(fields)]) for at in range(0, len(lengths), len(fields))]
    if sum(sizes) <= BATCH_BYTES:
        return await read(pipe, keys, [("HMGET", name, *fields) for name in names])
    found: list[list[bytes | None]] = []
    async with turn:
        for first, last in batches(sizes):
            found += await read(pipe, keys, [("HMGET", name, *fields) for name in names[first:last]])
    return found


def batches(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut a page of values of these sizes into stretches that are small enough to be read at a time; never nothing at all."""
    first = size = total = 0
    for at, one in enumerate(sizes):
        if at and total + one > PAGE_BYTES:
            yield first, at
            return
        if at > first and size + one > BATCH_BYTES:
            yield first, at
            first, size = at, 0
        size, total = size + one, total + one
    if sizes:
        yield first, len(sizes)


def page(key: str, cursor: bytes = b"0") -> Command:
    """The command that reads one page of a set."""
    return ("SSCAN", key, cursor, "COUNT", 500)
