# SPDX-License-Identifier: Apache-2.0
"""Places that tenants share: each has at most a part of them, and where there are too few, they take turns."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`places` in all, at most `each` of them for one tenant. On one loop."""

    def __init__(self, places: int, each: int) -> None:
        self._free, self._each = places, each
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of the turns

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place."""
        if self._free and self._taken[tenant] < self._each:
            self._free -= 1
            self._taken[tenant] += 1
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def _wait(self, tenant: str) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # the place was ours already
                self._give_back(tenant)
            raise

    def _give_back(self, tenant: str) -> None:
        self._free += 1
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        for other in list(self._waiting):
            if self._taken[other] < self._each and self._next(other):
                return

    def _next(self, tenant: str) -> bool:
        """Give a free place to the first of a tenant that still waits, and put the tenant behind the others."""
        queue = self._waiting.pop(tenant)
        while queue:
            first = queue.popleft()
            if not first.done():
                self._free -= 1
                self._taken[tenant] += 1
                first.set_result(None)
                if queue:
                    self._waiting[tenant] = queue
                return True
        return False
