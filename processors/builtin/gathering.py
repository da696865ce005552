# SPDX-License-Identifier: Apache-2.0
"""Do one thing for several that ask for it at about the same time: whoever comes first waits a moment for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from bridge.domain.limits import MIB

LINGER_S: Final = 0.2
BYTES: Final = MIB
"""A group that has so much takes nobody in any more."""

KeyT = TypeVar("KeyT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class _Group(Generic[ItemT, ResultT]):
    """Those who wait for one another; `full` ends the wait early."""

    def __init__(self) -> None:
        self.items: list[ItemT] = []
        self.size = 0
        self.full = asyncio.Event()
        self.work: asyncio.Task[ResultT]


class Gathering(Generic[KeyT, ItemT, ResultT]):
    """On one loop. Only what has the same key is put together."""

    def __init__(self) -> None:
        self._open: dict[KeyT, _Group[ItemT, ResultT]] = {}

    async def join(
        self, key: KeyT, item: ItemT, size: int, most: int, act: Callable[[Sequence[ItemT]], Awaitable[ResultT]]
    ) -> ResultT:
        """
        Give what `act` gives for this item and others of its key. Whoever is cancelled stops nobody else.

        Shape:  at most `most` items, and about `BYTES` of their sizes.
        Raises: what `act` raises.
        """
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = _Group()
            group.work = asyncio.get_running_loop().create_task(self._act(key, group, act))
        group.items.append(item)
        group.size += size
        if len(group.items) >= most or group.size >= BYTES:
            self._open.pop(key, None)
            group.full.set()
        return await asyncio.shield(group.work)

    async def _act(
        self, key: KeyT, group: _Group[ItemT, ResultT], act: Callable[[Sequence[ItemT]], Awaitable[ResultT]]
    ) -> ResultT:
        try:
            async with asyncio.timeout(LINGER_S):
                await group.full.wait()
        except TimeoutError:
            pass
        if self._open.get(key) is group:
            del self._open[key]
        return await act(group.items)
