# SPDX-License-Identifier: Apache-2.0
"""
See to it that the live view is whole: look at its epoch every second, and have it rebuilt where it is lost.

One in each web process and worker; of all that notice, one rebuilds.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

import hiredis
from confluent_kafka import KafkaException

from bridge import logs
from bridge.domain.errors import Unavailable
from bridge.redis.epoch import whole
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.view.rebuild import Report, rebuild
from bridge.view.restoring import Expect, nothing_expected

LOG = logs.get("bridge.view")

LOOK_S: Final = 1.0
"""Between two looks; also the wait after a rebuild that failed or is another process's."""


class ViewKeeper:
    """`state` says for people how the view is: `whole`, `rebuilding`, `lost` or `away`; `last` is the last rebuild made here."""

    def __init__(self, pipe: Pipe, settings: Settings, expect: Expect = nothing_expected) -> None:
        self._pipe, self._settings, self._expect = pipe, settings, expect
        self._epoch = Keys(settings.topic_prefix).epoch
        self._connected = asyncio.Event()
        pipe.on_connect(self._connected.set)
        self.state = "away"
        self.last: Report | None = None

    async def run(self) -> None:
        """Keep the view whole; runs until cancelled, and then stops a rebuild of its own."""
        while True:
            if await self._lost():
                await self._mend()
            try:
                await asyncio.wait_for(self._connected.wait(), LOOK_S)
            except TimeoutError:
                continue
            finally:
                self._connected.clear()

    async def _lost(self) -> bool:
        try:
            epoch = await self._pipe.call("GET", self._epoch)
        except (Unavailable, hiredis.ReplyError):
            self.state = "away"
            return False
        self.state = "whole" if whole(epoch, self._pipe.run_id) else "lost"
        return self.state == "lost"

    async def _mend(self) -> None:
        self.state = "rebuilding"
        stop = threading.Event()
        try:
            report = await asyncio.to_thread(rebuild, self._settings, self._expect, only_lost=True, stop=stop)
        except (Unavailable, hiredis.ReplyError, KafkaException) as err:
            LOG.warning("the live view could not be rebuilt; trying again", reason=str(err))
            self.state = "lost"
            return
        finally:
            stop.set()
        if report is not None:
            self.last, self.state = report, "whole"
            LOG.info(
                "the live view was rebuilt from Kafka",
                events=report.events,
                executions=report.executions,
                unreadable=report.unreadable,
                seconds=round(report.seconds, 2),
                epoch=report.epoch,
            )
