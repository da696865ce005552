# SPDX-License-Identifier: Apache-2.0
"""
The worker process: puts its parts together, runs until it is told to stop, and leaves in a bounded time.

Called by `evb worker` and `evb dev`. Exit codes: 0 only when asked to stop, 70 in doubt, 75 when nothing moves any more.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import threading
import time
import warnings
from typing import NoReturn

import uvloop

from bridge import logs
from bridge.domain.errors import Misconfigured
from bridge.domain.retry import tiers
from bridge.garbage import collect_seldom
from bridge.hosting.find import Plugins, find_processes
from bridge.kafka.admin import check_topics, ensure_topics
from bridge.settings import Settings
from processors.ending import ASKED, doubt, leave
from processors.parts import Parts
from processors.stacks import dump_stacks, show_tasks_of

STOP_S = 20.0
"""From the signal to the end, whatever happens."""

REGISTRY_S = 15.0

LOG = logs.get("processors.worker")


def serve(settings: Settings, plugins: Plugins | None = None) -> NoReturn:
    """
    Run one worker with the installed plugins, unless others are given; never returns.

    Raises: Misconfigured and BrokerUnavailable, before anything has begun.
    """
    logs.configure(settings)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    plugins = (plugins or find_processes()).of_lane(settings.worker_lane)
    prepare_topics(settings, plugins)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(settings, plugins).run())
    doubt("the worker's loop ended")


def prepare_topics(settings: Settings, plugins: Plugins) -> None:
    """Create what is missing; refuse delays without a topic, and topics of another size: an offset would then mean two things."""
    if faults := plugins.unknown_tiers([tier.label for tier in tiers(settings.retry_tiers)]):
        raise Misconfigured(*faults)
    ensure_topics(settings, plugins.topics)
    wrong = [str(one) for one in check_topics(settings, plugins.topics) if one.setting == "the number of partitions"]
    if wrong:
        raise Misconfigured(*wrong)


class Worker:
    """One run of the worker, from its parts to its exit code."""

    def __init__(self, settings: Settings, plugins: Plugins) -> None:
        self._settings, self._plugins = settings, plugins
        lane = f"{settings.worker_lane}/" * bool(settings.worker_lane)
        self.name = f"{socket.gethostname()}:{os.getpid()}/{lane}{settings.worker_slot}"
        self._stop = asyncio.Event()
        self._parts: Parts | None = None

    async def run(self) -> NoReturn:
        """Start, wait for a signal, stop. Anything else that ends the application is doubt."""
        loop = asyncio.get_running_loop()
        show_tasks_of(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked, number)
        parts = self._parts = await Parts.make(self._settings, self._plugins, self.name)
        start = loop.create_task(parts.start())
        stop = loop.create_task(self._stop.wait())
        await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            if start.exception() is not None:
                doubt("the worker could not start", error=repr(start.exception()))
            collect_seldom()
            LOG.info("The worker is ready", slot=self._settings.worker_slot, processes=sorted(self._plugins.patterns))
            crash = loop.create_task(parts.app.wait_until_stopped())
            await asyncio.wait({crash, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            doubt("the Faust application ended by itself", error=repr(parts.app.crash_reason))
        await parts.stop()
        LOG.info("The worker has stopped", events=parts.router.done)
        leave(ASKED)

    def _asked(self, number: int) -> None:
        LOG.info("Stopping", signal=signal.Signals(number).name)
        if self._stop.is_set():
            return
        threading.Thread(target=_leave_late, name="leave-late", daemon=True).start()
        self._stop.set()


def _leave_late() -> NoReturn:
    """End the process where stopping takes too long, with all stacks: that is safe, and never silent."""
    time.sleep(STOP_S)
    dump_stacks()
    doubt(f"stopping took longer than {STOP_S:g} s")


warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(faust|mode|aiokafka)\..*")
