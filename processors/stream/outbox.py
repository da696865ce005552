# SPDX-License-Identifier: Apache-2.0
"""
The worker's way to Kafka: `LoopProducer`, in the order of the calls, also while its local queue is full.

A full queue is backpressure, not a fault: records then wait here and follow as soon as there is room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException

from bridge.kafka.producer import Headers, LoopProducer

RETRY_S = 0.005

Report = Callable[[KafkaError | None, Any], None]


class Record(msgspec.Struct, frozen=True):
    """One record to produce; `partition` is that of the event that caused it, `timestamp_ms` 0 means now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int
    timestamp_ms: int = 0


class Outbox:
    """One per worker, on the loop's thread."""

    def __init__(self, producer: LoopProducer, loop: asyncio.AbstractEventLoop) -> None:
        self._producer, self._loop = producer, loop
        self._waiting: deque[tuple[Record, Report]] = deque()

    @property
    def waiting(self) -> int:
        """Count the records that found the producer's queue full."""
        return len(self._waiting)

    def send(self, record: Record, report: Report) -> None:
        """Send a record; `report(error, message)` is called once, later, on the loop (message None: it could never be sent)."""
        if self._waiting:
            self._waiting.append((record, report))
        elif not self._sent(record, report):
            self._waiting.append((record, report))
            self._loop.call_later(RETRY_S, self._follow)

    def _follow(self) -> None:
        while self._waiting and self._sent(*self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._loop.call_later(RETRY_S, self._follow)

    def _sent(self, record: Record, report: Report) -> bool:
        try:
            self._producer.send(
                record.topic,
                record.value,
                key=record.key,
                headers=record.headers,
                report=report,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
        except BufferError:
            return False
        except KafkaException as err:
            self._loop.call_soon(report, err.args[0], None)
        return True
