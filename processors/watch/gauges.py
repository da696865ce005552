# SPDX-License-Identifier: Apache-2.0
"""How each partition of this worker does, for Prometheus and for the heartbeat. Looked at now and then, never per event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
from faust.types import TP

from bridge import metrics
from bridge.registry.objects import AnnouncedBreaker, AnnouncedPartition
from processors.attempts.router import Router
from processors.outcomes.verdicts import cut
from processors.watch.stillness import Stillness

MOST_BREAKERS, REASON_BYTES = 100, 200
"""What a heartbeat tells of breakers: 30 kB at most, every ten seconds, which Kafka keeps for an hour and every start reads."""


class Gauges:
    """`lag` is set by the watchdog, as Kafka says it."""

    def __init__(self, router: Router, still: Stillness, clock: Callable[[], float] = time.monotonic) -> None:
        self._router, self._still, self._clock = router, still, clock
        self._loop = asyncio.get_running_loop()
        self._shown: set[TP] = set()
        self.lag: dict[TP, int] = {}

    def show(self, assigned: set[TP], remembered: int, remembered_bytes: int) -> None:
        """Set what Prometheus reads; a partition that was taken away disappears."""
        for gone in self._shown - assigned:
            self.lag.pop(gone, None)
            for metric in (metrics.PARTITION_LAG, metrics.PARTITION_AGE, metrics.PARTITION_IN_FLIGHT, metrics.PARTITION_OLDEST):
                metric.remove(*_labels(gone))
        self._shown = assigned
        for tp in assigned:
            labels, (in_flight, oldest_s) = _labels(tp), self._held(tp)
            metrics.PARTITION_LAG.labels(*labels).set(self.lag.get(tp, 0))
            metrics.PARTITION_AGE.labels(*labels).set(self._age(tp))
            metrics.PARTITION_IN_FLIGHT.labels(*labels).set(in_flight)
            metrics.PARTITION_OLDEST.labels(*labels).set(oldest_s)
        metrics.CONSUMER_LAG.set(sum(self.lag.values()))
        metrics.IN_FLIGHT.set(self._router.in_flight)
        metrics.REMEMBERED.set(remembered)
        metrics.REMEMBERED_BYTES.set(remembered_bytes)
        metrics.BREAKERS_OPEN.set(sum(1 for _ in self._router.breakers.resting(time.time())))

    def announced(self) -> Iterator[AnnouncedPartition]:
        """Give the partitions of which there is something to say."""
        for tp in sorted(self._shown):
            in_flight, oldest_s = self._held(tp)
            if in_flight or self.lag.get(tp):
                yield AnnouncedPartition(tp.topic, tp.partition, in_flight, round(oldest_s, 1), round(self._age(tp), 1))

    def resting(self) -> Iterator[AnnouncedBreaker]:
        """Give the open breakers with the beginnings of their reasons, but no more than a small record holds."""
        for one in islice(self._router.breakers.resting(time.time()), MOST_BREAKERS):
            yield msgspec.structs.replace(one, reason=cut(one.reason, REASON_BYTES))

    def _held(self, tp: TP) -> tuple[int, float]:
        window = self._router.windows.get(tp)
        if window is None or not window.entries:
            return 0, 0.0
        return len(window.unfinished()), self._loop.time() - window.entries[0].since

    def _age(self, tp: TP) -> float:
        return self._still.age(tp, self._clock()) if self.lag.get(tp) else 0.0


def _labels(tp: TP) -> tuple[str, str]:
    return tp.topic, str(tp.partition)
