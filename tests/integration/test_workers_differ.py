# SPDX-License-Identifier: Apache-2.0
"""Live workers that announce different plugins raise an alarm: which processes run would depend on an event's partition."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.registry.announcing import Announcer
from bridge.sdk import NoConfig, Process
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.web_under_test import Server, free_port, until, web_server


class Audit(Process[NoConfig]):
    name, version, events = "audit", "1.0.0", ("a.*",)


class NewerAudit(Audit):
    version = "1.1.0"


ALIKE, NEWER = [Audit()], [NewerAudit()]


def announce(settings: Settings, *sets: Sequence[Process[NoConfig]]) -> None:
    """Announce as a worker of slot 0, 1 … would, once each."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        producer = LoopProducer(producing(settings, linger_ms=0), loop, lambda error: None)
        for slot, processes in enumerate(sets):
            one = settings.model_copy(update={"worker_slot": str(slot)})
            task = loop.create_task(Announcer(one, producer, processes, f"instance-{slot}").run())
            await asyncio.sleep(0)
            task.cancel()
        assert await producer.close(10) == 0

    asyncio.run(run())


def differing(server: Server) -> float:
    """Read the alarm from the server's metrics."""
    found = re.search(
        r"^evb_workers_differing(?:\{[^}]*\})? ([0-9.]+)$", server.ask("GET", "/metrics").body.decode(), re.MULTILINE
    )
    assert found, "the metric is always there"
    return float(found[1])


def test_different_plugins_are_an_alarm_until_they_agree(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    with web_server(stack, settings) as server:
        announce(settings, ALIKE, ALIKE)
        until(lambda: differing(server) == 0)
        announce(settings, ALIKE, NEWER)
        until(lambda: differing(server) == 2)
        announce(settings, NEWER, NEWER)
        until(lambda: differing(server) == 0)
