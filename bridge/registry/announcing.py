# SPDX-License-Identifier: Apache-2.0
"""
Say in the registry which processes a live worker runs, and say it again as a heartbeat.

Not a decision: the last record of a slot counts. From it the web knows which executions to expect of an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from bridge import logs, topics
from bridge.kafka.producer import LoopProducer
from bridge.registry.changes import now_ms
from bridge.registry.objects import AnnouncedProcess, Announcement, encode, ref_of
from bridge.settings import Settings

HEARTBEAT_S: Final = 10.0
LOG = logs.get("bridge.registry")


class Announcer:
    """Announces the processes (name -> version and patterns) of one worker; `instance` tells two workers in one slot apart."""

    def __init__(
        self,
        settings: Settings,
        producer: LoopProducer,
        processes: Mapping[str, tuple[str, tuple[str, ...]]],
        instance: str,
    ) -> None:
        self._settings, self._producer, self._instance = settings, producer, instance
        self._processes = tuple(AnnouncedProcess(name, *about) for name, about in sorted(processes.items()))

    async def run(self) -> None:
        """Announce now and every ten seconds, until cancelled; one that is lost is made good by the next."""
        while True:
            self._announce()
            await asyncio.sleep(HEARTBEAT_S)

    def _announce(self) -> None:
        value = Announcement(slot=self._settings.worker_slot, processes=self._processes, at_ms=now_ms(), instance=self._instance)
        ref = ref_of(value)
        try:
            self._producer.send(
                topics.REGISTRY.name(self._settings),
                encode(value),
                key=ref.record_key(None),
                headers=[],
                report=_reported,
                partition=ref.partition(self._settings.partitions),
            )
        except (BufferError, KafkaException) as err:
            LOG.warning("the worker could not announce its processes", error=str(err))


def _reported(error: KafkaError | None, _: Message) -> None:
    if error is not None:
        LOG.warning("the worker's announcement was not confirmed", error=error.str())
