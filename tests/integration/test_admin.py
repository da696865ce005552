# SPDX-License-Identifier: Apache-2.0
"""The catalogue's topics are created once, as it says, and what differs is named with its cure."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from bridge.domain.errors import BrokerUnavailable, Misconfigured
from bridge.kafka.admin import Admin, await_topics, check_topics, client, ensure_topics, list_topics, result_topics, retry_topics
from bridge.kafka.client import connection
from bridge.settings import Kafka
from bridge.topics import EVENTS, EXECUTIONS, Topic, catalogue, results
from tests.conftest import StackOfTests


def test_the_catalogue_is_created_once_and_as_it_says(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=3)
    expected = {topic.name(settings) for topic in catalogue(settings)} | {f"{settings.topic_prefix}.results.greeter"}

    assert set(ensure_topics(settings, [results("greeter")])) == expected
    assert ensure_topics(settings, [results("greeter")]) == []
    assert {t.name: (t.partitions, t.replicas) for t in list_topics(settings, [results("greeter")])} == dict.fromkeys(
        expected, (3, 1)
    )
    assert [t.name for t in result_topics(settings)] == [
        f"{settings.topic_prefix}.results.{of}" for of in ("buildable", "greeter")
    ]
    assert check_topics(settings, [results("greeter")]) == []


def test_many_processes_may_create_the_topics_at_once(stack: StackOfTests) -> None:
    settings = stack.settings()
    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(lambda _: ensure_topics(settings), range(6)))
    assert sorted(name for names in created for name in names) == sorted(t.name(settings) for t in catalogue(settings))


def test_what_was_created_can_be_used_at_once(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=16)
    consumer = Consumer(connection(settings) | {"group.id": "unused"})
    try:
        names = ensure_topics(settings)
        everywhere = [TopicPartition(name, number, OFFSET_END) for name in names for number in range(16)]
        found = consumer.offsets_for_times(everywhere, timeout=10)
    finally:
        consumer.close()
    assert [one for one in found if one.error is not None] == []


class Deaf(Admin):
    """Hears no broker when it creates topics."""

    code = KafkaError._TRANSPORT

    def create_topics(self, new_topics: list[Any], **options: Any) -> Any:
        made: dict[str, Future[None]] = {one.topic: Future() for one in new_topics}
        for one in made.values():
            one.set_exception(KafkaException(KafkaError(self.code)))
        return made


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._DESTROY_BROKER])
def test_a_creation_that_no_broker_spoke_of_is_asked_again(
    stack: StackOfTests, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    settings, clients = stack.settings(), [Deaf, Deaf, Admin]
    monkeypatch.setattr(Deaf, "code", code)
    monkeypatch.setattr("bridge.kafka.admin.client", lambda settings: clients.pop(0)(settings))
    with pytest.raises(
        BrokerUnavailable, match=f"Kafka does not create {settings.topic_prefix}.registry: {KafkaError(code).str()}"
    ):
        ensure_topics(settings)
    clients[:] = [Deaf, Admin, Admin]
    assert len(ensure_topics(settings)) == len(list(catalogue(settings)))


def test_a_topic_that_nobody_leads_is_named_with_the_reason(stack: StackOfTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.kafka.admin.TIMEOUT_S", 1.0)
    with pytest.raises(BrokerUnavailable, match="it-nowhere, and no leader answers for it: no leader is known"):
        await_topics(stack.settings(), ["it-nowhere"])


def test_everything_that_differs_is_named_with_its_cure(stack: StackOfTests) -> None:
    settings = stack.settings(retention_hours=5)
    wrong_cleanup = NewTopic(EXECUTIONS.name(settings), 4, 1, config=EVENTS.config(settings))
    few_partitions = NewTopic(EVENTS.name(settings), 2, 1, config=EVENTS.config(settings))
    admin = client(settings)
    for made in admin.create_topics([wrong_cleanup, few_partitions]).values():
        made.result(timeout=20)
    await_topics(settings, [EXECUTIONS.name(settings), EVENTS.name(settings)])

    found = {(w.topic.rpartition(".")[2], w.setting): w for w in check_topics(settings)}

    assert set(found) == {
        ("events", "the number of partitions"),
        ("executions", "cleanup.policy"),
        ("executions", "min.compaction.lag.ms"),
        ("executions", "segment.ms"),
        ("deadletters", "the topic"),
        ("redeliveries", "the topic"),
        ("parked", "the topic"),
        ("surplus", "the topic"),
        ("300ms", "the topic"),
        ("1s", "the topic"),
        ("registry", "the topic"),
        ("claims", "the topic"),
        ("buildable", "the topic"),
        ("notifications", "the topic"),
        ("signals", "the topic"),
        ("runs", "the topic"),
        ("usage", "the topic"),
    }
    assert "EVB_PARTITIONS=2" in found["events", "the number of partitions"].cure
    assert "cleanup.policy=[compact,delete]" in found["executions", "cleanup.policy"].cure
    assert "evb topics ensure" in found["usage", "the topic"].cure


def test_what_the_brokers_refuse_is_the_operators_fault(stack: StackOfTests) -> None:
    settings = stack.settings()
    nonsense = Topic("what?", "none", "delete", None, "nobody", "nobody")
    with pytest.raises(Misconfigured, match=r"what\? could not be created"):
        ensure_topics(settings, [nonsense])


def test_silent_brokers_are_unavailable(stack: StackOfTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.kafka.admin.TIMEOUT_S", 0.3)
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        check_topics(stack.settings(kafka=Kafka(bootstrap_servers="127.0.0.1:9")))


def test_a_topic_that_only_looks_like_a_tiers_is_none(stack: StackOfTests) -> None:
    settings = stack.settings()
    ensure_topics(settings)
    known, alien, admin = retry_topics(settings), f"{settings.topic_prefix}.retries.of-somebody", client(settings)
    admin.create_topics([NewTopic(alien, 1, 1)])[alien].result(20)
    await_topics(settings, [alien])
    assert known == retry_topics(settings) != []
