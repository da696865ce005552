# SPDX-License-Identifier: Apache-2.0
"""Who waits for a place to run in: what waits for others does not stand still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def queued(waiting: set[asyncio.Task[Any]], place: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Hold a place; until it is ours, the task is among those that wait."""
    task = asyncio.current_task()
    assert task is not None
    async with AsyncExitStack() as held:
        waiting.add(task)
        try:
            found = await held.enter_async_context(place)
        finally:
            waiting.discard(task)
        yield found
