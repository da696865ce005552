# SPDX-License-Identifier: Apache-2.0
"""
Produce on an event loop and learn of every record's fate there.

Used by the web's intake and by the worker. One per process, made after any fork and inside the running loop, because
librdkafka's threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, Message, Producer

from bridge.kafka.brokerless import Brokerless
from bridge.kafka.reports import fault

Report = Callable[[KafkaError | None, Message], None]
Headers = list[tuple[str, bytes]]
ANY_PARTITION: Final = -1  # librdkafka's word for "the key decides"


class OnFatal(Protocol):
    """What happens when the producer can never produce again."""

    def __call__(self, error: KafkaError) -> None: ...


class LoopProducer:
    """
    A confluent-kafka producer whose delivery reports arrive on the loop, in batches.

    A thread sleeps in `poll`; its first report wakes the loop, which collects all further ones itself and then lets the
    thread sleep again: one hand-off of the interpreter lock per batch instead of one per record.
    """

    def __init__(self, config: dict[str, object], loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        self._loop = loop
        self._reports: deque[tuple[Report, KafkaError | None, Message]] = deque()
        self._turn = threading.Semaphore(0)
        self._closing = False
        self._on_fatal = on_fatal
        self._producer = Producer(config | {"error_cb": self._error} | Brokerless(self._error).settings)
        self._thread = threading.Thread(target=self._sleep_in_poll, name="kafka-reports", daemon=True)
        self._thread.start()

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Headers,
        report: Report,
        partition: int | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        """
        Queue one record; `report(error, message)` is called once, later, on the loop.

        Order: kept per partition, repeated sends by librdkafka included (idempotence).
        Raises: BufferError when the local queue is full, KafkaException for a record that can never be sent (too large).
        """

        def reported(error: KafkaError | None, message: Message) -> None:
            self._reports.append((report, fault(error, message), message))

        given: Any = headers  # its stub wants a list that may hold other values too
        to = ANY_PARTITION if partition is None else partition
        self._producer.produce(topic, value, key, to, on_delivery=reported, timestamp=timestamp_ms, headers=given)

    def waiting(self) -> int:
        """Count the records and reports that are still on their way."""
        return len(self._producer) + len(self._reports)

    async def close(self, timeout_s: float) -> int:
        """Wait for the reports of what was sent and stop; returns how many records were still unconfirmed."""
        deadline = self._loop.time() + timeout_s
        while self.waiting() and self._loop.time() < deadline:  # noqa: ASYNC110  librdkafka's queue has no event to wait for
            await asyncio.sleep(0.01)
        left = self.waiting()
        self._closing = True
        self._turn.release()
        return left

    def _sleep_in_poll(self) -> None:
        while not self._closing:
            self._producer.poll(0.2)
            if self._reports:
                try:
                    self._loop.call_soon_threadsafe(self._collect)
                except RuntimeError:  # the loop is closed: the process is leaving and nobody waits for reports
                    return
                self._turn.acquire()

    def _collect(self) -> None:
        try:
            self._producer.poll(0)
        finally:
            self._turn.release()
        while self._reports:
            report, error, message = self._reports.popleft()
            try:
                report(error, message)
            except Exception as err:  # noqa: BLE001  one request's fault must not keep the other reports from their owners
                self._loop.call_exception_handler({"message": "a delivery report's handler failed", "exception": err})

    def _error(self, error: KafkaError) -> None:
        if error.fatal():
            self._loop.call_soon_threadsafe(self._on_fatal, error)
