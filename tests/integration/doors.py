# SPDX-License-Identifier: Apache-2.0
"""An intake with all that belongs to it, as a web process has it: what the intake's tests (and its measurement) use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from bridge import topics
from bridge.domain.limits import Window
from bridge.domain.principal import Principal, Scope
from bridge.domain.receipt import Draft
from bridge.intake.accept import Intake
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.epoch import ViewGuard
from bridge.redis.gate import Gate
from bridge.redis.pipe import Pipe
from bridge.settings import Settings

WRITER = Principal("acme", frozenset({Scope.EVENTS_WRITE}), "test")
WIDE = (Window(1_000_000, 60),)


def draft(name: str, data: bytes = b'{"a": 1}', **more: str) -> Draft:
    """A CloudEvent whose producer named it."""
    attributes = {"specversion": "1.0", "id": name, "source": "/shop", "type": "order.created"}
    return Draft({**attributes, "datacontenttype": "application/json", **more}, data)


class Door:
    """One web process's intake. `windows` and `processes` may be changed at any time."""

    def __init__(self, settings: Settings, *, pending_s: float = 30, **kafka: object) -> None:
        self.settings = settings
        self.windows: Sequence[Window] = WIDE
        self.processes: Sequence[str] = ()
        self._pending_s, self._kafka = pending_s, kafka

    async def __aenter__(self) -> Door:
        loop = asyncio.get_running_loop()
        config = producing(self.settings, linger_ms=self.settings.kafka.linger_ms) | self._kafka
        self.producer = LoopProducer(config, loop, _fatal)
        self.pipe = Pipe(self.settings.redis, loop)
        self.guard = ViewGuard(self.pipe, self.settings)
        self._guarding = loop.create_task(self.guard.run())
        self.intake = Intake(
            self.settings,
            self.producer,
            self.pipe,
            self.guard,
            windows=lambda tenant: self.windows,
            expected=lambda tenant, event_type: self.processes,
            gate=Gate(self.pipe, self.settings, self._pending_s),
        )
        assert await self.pipe.wait_connected(5)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        settled = await self.intake.close(10)
        self._guarding.cancel()
        await self.pipe.close()
        left = await self.producer.close(10)
        assert error or (settled and left == 0)


def _fatal(error: KafkaError) -> None:
    raise AssertionError(error)


def stored(settings: Settings) -> list[Message]:
    """Read every record of the events topic."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "unused", "enable.partition.eof": True}
    )
    name = topics.EVENTS.name(settings)
    consumer.assign([TopicPartition(name, partition, 0) for partition in range(settings.partitions)])
    found, ended = [], set[int | None]()  # one partition's end may be told twice
    try:
        while len(ended) < settings.partitions:
            for message in consumer.consume(1000, timeout=1):
                if message.error() is None:
                    found.append(message)
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ended.add(message.partition())
    finally:
        consumer.close()
    return found


def headers(message: Message) -> dict[str, str]:
    """A record's headers as texts."""
    return {name: value.decode() for name, value in message.headers() or []}
