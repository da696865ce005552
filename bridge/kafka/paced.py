# SPDX-License-Identifier: Apache-2.0
"""
Write many records at a rate, and know of each that Kafka has it. Blocking; used by replays and purges, which one thread runs.

A piece of work is a chain of records: each is sent once the one before it is confirmed, so that a mark never lies in Kafka
before what it marks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bridge.domain.errors import BrokerUnavailable
from bridge.domain.limits import MIB
from bridge.kafka.client import producing
from bridge.kafka.reports import fault
from bridge.settings import Settings

DEFAULT_RATE: Final = 200.0
"""Pieces of work per second where nobody says otherwise."""
UNDER_WAY: Final = 500
UNDER_WAY_BYTES: Final = 32 * MIB
CONFIRM_S: Final = 15.0
LATE_S: Final = 0.02  # so much of a delay is made good; more would be a burst
TOLD_S: Final = 0.2

Progress = Callable[[int], None]
"""Called now and then with how many pieces of work are done."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record to write; `partition` -1: by its key, `timestamp_ms` 0: now, `value` None: a tombstone."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int = 0


class Paced:
    """
    Takes chains of records. Use as a context manager: leaving it waits for what is under way, also after an error.

    `done` counts the chains whose last record is confirmed.
    """

    def __init__(self, settings: Settings, rate: float, progress: Progress) -> None:
        self._producer = Producer(producing(settings, linger_ms=5, timeout_s=CONFIRM_S))
        self._pause_s, self._progress = 1 / rate, progress
        self._due = self._told = time.monotonic()
        self._under_way = self._bytes = 0
        self._reported: deque[tuple[KafkaError | None, tuple[Record, ...], int]] = deque()
        self._fault = ""
        self.done = 0

    def __enter__(self) -> Paced:
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + CONFIRM_S
        while len(self._producer) and time.monotonic() < deadline:
            self._serve(0.1)

    def send(self, *chain: Record) -> None:
        """Begin a chain once its turn has come. Raises: BrokerUnavailable where Kafka did not confirm an earlier one."""
        self._wait()
        self._under_way += 1
        self._bytes += _size(chain)
        self._write(chain, 0)

    def finish(self) -> None:
        """Wait until every chain is done. Raises: BrokerUnavailable."""
        while self._under_way and not self._fault:
            self._poll(0.1)
        self._check()
        self._progress(self.done)

    def _wait(self) -> None:
        self._due = max(self._due + self._pause_s, time.monotonic() - LATE_S)
        while not self._fault:
            full = self._under_way >= UNDER_WAY or self._bytes >= UNDER_WAY_BYTES
            left = self._due - time.monotonic()
            self._poll(0.1 if full else min(0.1, max(0.0, left)))
            if not full and self._due <= time.monotonic():
                break
        self._check()

    def _serve(self, seconds: float) -> None:
        """Hear reports, and go on with the chains that they belong to: within a report nothing may be sent."""
        try:
            self._producer.poll(seconds)
        except SystemError as err:  # Ctrl-C within a report: confluent-kafka loses the exception and says that there is none
            raise KeyboardInterrupt from err
        while self._reported:
            self._go_on(*self._reported.popleft())

    def _go_on(self, error: KafkaError | None, chain: tuple[Record, ...], number: int) -> None:
        if error is not None:
            self._fault = self._fault or f"{chain[number].topic}: {error.str()}"
        elif number + 1 < len(chain):
            self._write(chain, number + 1)
        else:
            self._under_way -= 1
            self._bytes -= _size(chain)
            self.done += 1

    def _poll(self, seconds: float) -> None:
        self._serve(seconds)
        if (now := time.monotonic()) - self._told > TOLD_S:
            self._told = now
            self._progress(self.done)

    def _write(self, chain: tuple[Record, ...], number: int) -> None:
        record = chain[number]

        def reported(error: KafkaError | None, message: Message) -> None:
            self._reported.append((fault(error, message), chain, number))

        options: dict[str, Any] = {"headers": record.headers, "on_delivery": reported, "timestamp": record.timestamp_ms}
        try:
            self._producer.produce(record.topic, record.value, record.key, record.partition, **options)
        except (KafkaException, BufferError) as err:
            self._fault = self._fault or f"{record.topic}: {err}"

    def _check(self) -> None:
        if self._fault:
            raise BrokerUnavailable(f"Kafka did not take a record, {self._fault}. {self.done} are done; run it again to go on.")


def _size(chain: tuple[Record, ...]) -> int:
    return sum(len(record.value or b"") for record in chain)
