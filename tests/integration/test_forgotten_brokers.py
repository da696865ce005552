# SPDX-License-Identifier: Apache-2.0
"""
librdkafka may forget how to reach Kafka where an answer names no broker: whoever lives long notices, and nobody waits for ever.

Whether it forgets is a matter of microseconds, so many clients are given the chance.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from bridge import topics
from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.admin import Admin, client, ensure_topics
from bridge.kafka.brokerless import Brokerless
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.kafka.progress import Progress
from bridge.notifications import reader
from bridge.settings import Kafka, Settings
from tests.conftest import StackOfTests
from tests.integration.emptied import Emptied
from tests.integration.workers import site, until
from web import health

pytestmark = pytest.mark.timeout(120)
MANY, ASKED = 120, 8


@pytest.fixture
def way(stack: StackOfTests) -> Iterator[Emptied]:
    made = Emptied(stack.kafka.port)
    with made.serving():
        yield made


@pytest.fixture
def settings(stack: StackOfTests, way: Emptied) -> Settings:
    return site(stack).model_copy(update={"kafka": Kafka(bootstrap_servers=f"127.0.0.1:{way.port}")})


def asked(ask: Callable[[], object], times: int = ASKED) -> None:
    for _ in range(times):
        with suppress(KafkaException, BrokerUnavailable):
            ask()


def with_nobody(way: Emptied, *asks: Callable[[], object]) -> None:
    """Ask all at once while every answer names nobody."""
    threads = [threading.Thread(target=asked, args=(ask,)) for ask in asks]
    way.empty = True
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    way.empty = False


async def test_a_producer_delivers_or_says_that_it_never_will(settings: Settings, way: Emptied) -> None:
    loop, lost, delivered = asyncio.get_running_loop(), set[int](), set[int]()
    config = producing(settings, linger_ms=0, timeout_s=3)
    made = [LoopProducer(config, loop, lambda _, n=n: lost.add(n)) for n in range(MANY)]
    for one in made:
        await asyncio.to_thread(one._producer.list_topics, timeout=10)
    await asyncio.to_thread(with_nobody, way, *(lambda one=one: one._producer.list_topics(timeout=0.5) for one in made))
    assert way.emptied > MANY

    def report(number: int, error: KafkaError | None, _: Message) -> None:
        if error is None:
            delivered.add(number)

    async with asyncio.timeout(60):
        while len(lost | delivered) < MANY:
            for n, one in enumerate(made):
                if n not in delivered:
                    one.send(topics.EVENTS.name(settings), b"", key=None, headers=[], report=lambda e, m, n=n: report(n, e, m))
            await asyncio.sleep(1)
    print(f"{len(lost)} of {MANY} forgot every broker")
    for one in made:
        await one.close(0)


def test_whoever_asks_goes_on_with_another_client(settings: Settings, way: Emptied) -> None:
    admins = [client(settings) for _ in range(MANY // 4)]
    witnesses = [Progress(settings, topics.worker_group(settings)) for _ in range(MANY // 4)]
    place = (topics.EVENTS.name(settings), 0)
    for admin in admins:
        admin.cluster(10)
    for witness in witnesses:
        witness.ask([place], 10)
    with_nobody(way, *(lambda one=one: one.list_topics(timeout=0.5) for one in admins))
    with_nobody(way, *(lambda one=one: one._consumer.list_topics(timeout=0.5) for one in witnesses))
    for admin in admins:
        assert admin.cluster(10).brokers
    for witness in witnesses:
        asked(lambda one=witness: one.ask([place], 2), 1)
        assert witness.ask([place], 10)[place].end == 0


def test_topics_are_created_by_another_client(settings: Settings, way: Emptied, monkeypatch: pytest.MonkeyPatch) -> None:
    class Struck(Admin):
        """Asks for a topic while answers name nobody: such a client never finds the controller."""

        def create_topics(self, *args: Any, **options: Any) -> Any:
            way.empty = True
            asked(lambda: self.list_topics(timeout=0.05), 1)
            found = super().create_topics(*args, **options)
            threading.Timer(0.3, setattr, (way, "empty", False)).start()
            return found

    made: list[type[Admin]] = [Admin, Struck]
    monkeypatch.setattr("bridge.kafka.admin.TIMEOUT_S", 4.0)
    monkeypatch.setattr("bridge.kafka.admin.client", lambda settings: made.pop()(settings) if made else client(settings))
    other = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}-2"})
    assert set(ensure_topics(other)) == {topic.name(other) for topic in topics.catalogue(other)}
    assert not made, "the one that was struck, and another one"


async def test_readiness_and_feeds_go_on_with_another_client(stack: StackOfTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KAFKA_S", 0.3)
    monkeypatch.setattr(health, "FRESH_S", 0.0)
    monkeypatch.setattr(reader, "ASK_S", 0.3)
    services: Any = SimpleNamespace(settings=site(stack))
    ready, feeds = health.Health(services, asyncio.get_running_loop()), reader.Reader(services.settings)
    until(lambda: ready._ask_kafka().passed, "it is ready")
    until(lambda: not asked(lambda: feeds.end("acme"), 1) and feeds._consumer, "feeds are read")
    before = ready._admin, feeds._consumer
    stack.kafka.freeze()
    try:
        assert not ready._ask_kafka().passed
        with pytest.raises(BrokerUnavailable):
            feeds.end("acme")
    finally:
        stack.kafka.thaw()
    until(lambda: ready._ask_kafka().passed, "it is ready again")
    until(lambda: not asked(lambda: feeds.end("acme"), 1) and feeds._consumer, "feeds are read again")
    assert ready._admin is not before[0]
    assert feeds._consumer is not before[1]
    feeds.close()


def statistics(*sources: str) -> str:
    return orjson.dumps({"brokers": {str(n): {"source": source} for n, source in enumerate(sources)}}).decode()


def test_only_who_knows_no_broker_twice_in_a_row_is_lost() -> None:
    lost: list[KafkaError] = []
    look = Brokerless(lost.append)
    for sources in (("configured",), ("internal",), ("learned", "internal"), (), ("configured",), ("logical",)):
        look(statistics(*sources))
    assert not lost
    for _ in range(3):
        look(statistics("internal"))
    assert [error.fatal() for error in lost] == [True], "said once"
