# SPDX-License-Identifier: Apache-2.0
"""
librdkafka calls a record delivered where Kafka turned it away and took a later one of the partition: we do not believe it.

A bit is flipped in the first batch on its way, while the second one is on its way too: a new producer's first batches in a
partition. Kafka refuses the one, takes the other, and the first one's number is past when it is sent again.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import KafkaError, Message

from bridge import topics
from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.client import producing
from bridge.kafka.paced import Paced, Record
from bridge.kafka.producer import LoopProducer
from bridge.kafka.reports import IMPLIED
from bridge.settings import Kafka, Settings
from tests.conftest import StackOfTests
from tests.integration.doors import WRITER, Door, draft, headers, stored
from tests.integration.emptied import Emptied
from tests.integration.test_intake import until
from tests.integration.workers import site

PRODUCE = 0


class Damaging(Emptied):
    """A way to the broker that damages the first batch, and holds it back until the second one is there."""

    held = b""
    damaged = False

    def passed_on(self, request: bytes) -> Sequence[bytes]:
        (kind,) = struct.unpack_from(">h", request)
        if kind != PRODUCE:
            return (request,)
        if not self.damaged:
            self.damaged, self.held = True, request[:-8] + bytes([request[-8] ^ 1]) + request[-7:]
            return ()
        first, self.held = self.held, b""
        return (first, request) if first else (request,)


@pytest.fixture
def way(stack: StackOfTests) -> Iterator[Damaging]:
    made = Damaging(stack.kafka.port)
    with made.serving():
        yield made


@pytest.fixture
def settings(stack: StackOfTests, way: Damaging) -> Settings:
    """An installation with one partition, behind such a way."""
    chosen = site(stack, partitions=1)
    assert not stored(chosen), "whoever can read a partition finds its leader there, which turns nothing else away"
    return chosen.model_copy(update={"kafka": Kafka(bootstrap_servers=f"127.0.0.1:{way.port}")})


async def test_a_record_without_a_place_is_not_confirmed(settings: Settings, way: Damaging) -> None:
    told: dict[bytes, tuple[KafkaError | None, int | None]] = {}

    def report(error: KafkaError | None, message: Message) -> None:
        told[message.value() or b""] = error, message.offset()

    producer = LoopProducer(producing(settings, linger_ms=0), asyncio.get_running_loop(), lambda error: None)
    for value in (b"first", b"second"):
        producer.send(topics.EVENTS.name(settings), value, key=None, headers=[], report=report)
        await until(lambda: way.damaged)  # a request of its own for each
    assert await producer.close(10) == 0
    assert [m.value() for m in stored(settings)] == [b"second"]
    assert told == {b"first": (IMPLIED, None), b"second": (None, 0)}


async def test_the_intake_gives_no_receipt_for_it(settings: Settings, way: Damaging) -> None:
    async with Door(settings) as door:
        first = asyncio.create_task(door.intake.accept([draft("1")], WRITER))
        await until(lambda: way.damaged)
        await door.intake.accept([draft("2")], WRITER)
        with pytest.raises(BrokerUnavailable):
            await first
        await door.intake.accept([draft("1")], WRITER)
        assert door.guard.holes, "nobody knows for sure that Kafka has not got it"
    assert [headers(m)["ce_id"] for m in stored(settings)] == ["2", "1"]


def test_a_replay_ends_with_it(settings: Settings) -> None:
    topic = topics.EVENTS.name(settings)
    with Paced(settings, 4, lambda done: None) as paced:  # a request of its own for each
        for value in (b"first", b"second"):
            paced.send(Record(topic, 0, None, value, []))
        with pytest.raises(BrokerUnavailable):
            paced.finish()
    assert [m.value() for m in stored(settings)] == [b"second"]
    assert paced.done == 1
