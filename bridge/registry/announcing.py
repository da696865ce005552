# SPDX-License-Identifier: Apache-2.0
"""
Say in the registry which processes a live worker runs and how it does, and say it again as a heartbeat.

Not a decision: the last record of a slot counts. From it the web knows which executions to expect of an event, and an operator
how the workers are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from bridge import logs, topics
from bridge.kafka.producer import LoopProducer
from bridge.registry.changes import now_ms
from bridge.registry.objects import (
    AnnouncedBreaker,
    AnnouncedPartition,
    AnnouncedProcess,
    AnnouncedRate,
    Announcement,
    encode,
    ref_of,
)
from bridge.sdk.process import AnyProcess
from bridge.settings import Settings

HEARTBEAT_S: Final = 10.0
ASKED: Final = "asked"
LOG = logs.get("bridge.registry")


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a worker does at the moment."""

    partitions: tuple[AnnouncedPartition, ...] = ()
    rates: tuple[AnnouncedRate, ...] = ()
    breakers: tuple[AnnouncedBreaker, ...] = ()


def announced(process: AnyProcess) -> AnnouncedProcess:
    """Say of a process what others need to know who do not have its plugin."""
    title = process.title or process.name.replace("-", " ").title()
    business = process.business_process
    return AnnouncedProcess(
        name=process.name,
        version=process.version,
        patterns=tuple(process.events),
        default_enabled=process.default_enabled,
        business_process=business,
        title=title if business else "",
    )


class Announcer:
    """
    Announces the processes of one worker; `instance` tells two workers in one slot apart.

    `stalls` is what earlier lives of the slot counted, `vitals()` is asked at every heartbeat.
    """

    def __init__(
        self,
        settings: Settings,
        producer: LoopProducer,
        processes: Iterable[AnyProcess],
        instance: str,
        stalls: Mapping[str, int] | None = None,
        vitals: Callable[[], Vitals] = Vitals,
    ) -> None:
        self._settings, self._producer, self._instance = settings, producer, instance
        self._processes = tuple(announced(process) for process in sorted(processes, key=lambda one: one.name))
        self.stalls, self._vitals = dict(stalls or {}), vitals
        self._since_ms, self._unheard_since = now_ms(), 0.0

    async def run(self) -> None:
        """Announce now and every ten seconds, until cancelled; one that is lost is made good by the next."""
        while True:
            self.announce()
            await asyncio.sleep(HEARTBEAT_S)

    def unheard_s(self) -> float:
        """Give the time that the oldest heartbeat has waited for Kafka's confirmation; 0 where none waits."""
        return time.monotonic() - self._unheard_since if self._unheard_since else 0.0

    def last(self, reason: str) -> Announcement:
        """Give the announcement of a worker that ends because something stood still, with that counted."""
        return self._announcement(Vitals(), reason, self.stalls | {reason: self.stalls.get(reason, 0) + 1})

    def announce(self, ended: str = "") -> None:
        """Say it once, on the loop; `ended`: why the worker is about to leave."""
        value = self._announcement(self._vitals(), ended, self.stalls)
        ref = ref_of(value)
        self._unheard_since = self._unheard_since or time.monotonic()
        try:
            self._producer.send(
                topics.REGISTRY.name(self._settings),
                encode(value),
                key=ref.record_key(None),
                headers=[],
                report=self._reported,
                partition=ref.partition(self._settings.partitions),
            )
        except (BufferError, KafkaException) as err:
            LOG.warning("the worker could not announce its processes", error=str(err))

    def _announcement(self, vitals: Vitals, ended: str, stalls: Mapping[str, int]) -> Announcement:
        return Announcement(
            slot=self._settings.worker_slot,
            lane=self._settings.worker_lane,
            processes=self._processes,
            at_ms=now_ms(),
            instance=self._instance,
            since_ms=self._since_ms,
            ended=ended,
            stalls=dict(stalls),
            partitions=vitals.partitions,
            rates=vitals.rates,
            breakers=vitals.breakers,
        )

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        self._unheard_since = 0.0
        if error is not None:
            LOG.warning("the worker's announcement was not confirmed", error=error.str())
