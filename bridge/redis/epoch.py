# SPDX-License-Identifier: Apache-2.0
"""
The life of the view: is what Redis shows whole?

`<prefix>:epoch` holds `<server run_id>:<number>`. Where it is missing, or names another server, the view is lost: look-ups
and decisions answer that, intake goes on, and `bridge.view.keeper` has it rebuilt. Whoever could not write its part removes it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bridge import logs
from bridge.domain.errors import ViewUnavailable
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings

LOG = logs.get("bridge.view")

PAUSE_S: Final = 0.2


def whole(epoch: bytes | None, run_id: str) -> bool:
    """Tell whether an epoch, as read on a connection, is one of the server behind that connection."""
    return epoch is not None and run_id != "" and epoch.startswith(f"{run_id}:".encode())


def require_whole(epoch: bytes | None, run_id: str) -> None:
    """Raises: ViewUnavailable where the view is lost."""
    if not whole(epoch, run_id):
        raise ViewUnavailable("The live view is being rebuilt from Kafka; repeat the request shortly.")


class ViewGuard:
    """
    Remembers that this process could not write its part of the view, and declares the view lost once Redis is back.

    One per process, shared by the intake and the projection.
    """

    def __init__(self, pipe: Pipe, settings: Settings) -> None:
        self._pipe, self._keys = pipe, Keys(settings.topic_prefix)
        self._wake, self._mended = asyncio.Event(), asyncio.Event()
        self._mended.set()
        self.holes = 0

    @property
    def open(self) -> bool:
        """Whether something is missing and Redis has not been told yet."""
        return self._wake.is_set()

    def hole(self, reason: str) -> None:
        """
        Say that facts are missing from the view.

        Order: call it when the facts are in Kafka, so that the rebuild that follows finds them there.
        """
        self.holes += 1
        if not self._wake.is_set():
            LOG.warning("the live view has a hole", reason=reason)
        self._wake.set()
        self._mended.clear()

    async def mended(self) -> None:
        """Wait until Redis knows of every hole; `run` must be running."""
        await self._mended.wait()

    async def run(self) -> None:
        """Declare the view lost whenever there is a hole, as soon as Redis answers; runs until cancelled."""
        while True:
            await self._wake.wait()
            told = self.holes
            try:
                await self._pipe.script(script("close_epoch"), (self._keys.epoch, self._keys.holes), ())
            except ViewUnavailable:
                await asyncio.sleep(PAUSE_S)
                continue
            if told == self.holes:
                self._wake.clear()
                self._mended.set()
                LOG.warning("the live view is declared lost; it will be rebuilt from Kafka")
