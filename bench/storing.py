# SPDX-License-Identifier: Apache-2.0
"""Put many records into Kafka at once: what a measurement finds there when it begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Producer

from bridge.kafka.client import producing
from bridge.settings import Settings


class Store:
    """Takes records as fast as the client does."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def put(self, topic: str, value: bytes, key: bytes | None, headers: Any, partition: int = -1, at_ms: int = 0) -> None:
        """Store a record, in the partition of its key unless another is named; waits where the client's queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers, timestamp=at_ms)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)


@contextmanager
def storing(settings: Settings) -> Iterator[Store]:
    """Give a store; at the end Kafka has everything. Raises: RuntimeError where it has not."""
    producer = Producer(producing(settings, linger_ms=20, timeout_s=60))
    yield Store(producer)
    if producer.flush(60):
        raise RuntimeError("not everything could be stored")
