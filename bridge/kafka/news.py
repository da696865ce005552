# SPDX-License-Identifier: Apache-2.0
"""Wait on an event loop for what a follower's thread reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class News:
    """Several may wait at once, each for something else."""

    def __init__(self) -> None:
        self._waiting: set[Callable[[], None]] = set()

    def tell(self) -> None:
        """Let all who wait look again. Called by the follower's thread, after what it has read can be seen."""
        for wake in tuple(self._waiting):
            wake()

    async def wait(self, look: Callable[[], T | None], timeout_s: float) -> T | None:
        """Look, and again whenever there is news, until something is found; None where nothing is within `timeout_s`."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(news.set)

        self._waiting.add(wake)
        try:
            async with asyncio.timeout(timeout_s):
                while (found := look()) is None:
                    await news.wait()
                    news.clear()
            return found
        except TimeoutError:
            return None
        finally:
            self._waiting.discard(wake)
