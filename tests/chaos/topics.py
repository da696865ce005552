# SPDX-License-Identifier: Apache-2.0
"""Kafka's side of the account: whole topics as facts, read with a plain consumer and none of the product's own code."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.chaos.accounting import Dead, Executed, Published, Stored

PROCESSES = ("chaos-echo", "chaos-nap", "chaos-plain", "chaos-fail", "chaos-skip")
"""Those of the chaos plugin."""

CONFIG: dict[str, object] = {
    "group.id": "chaos-check",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 10,  # what is assigned waits behind the fetch before it
    "reconnect.backoff.max.ms": 500,  # its brokers are killed and come back
    "log_level": 0,  # or they end before it
}
_FREE: dict[str, list[Consumer]] = {}
"""Consumers that nobody reads with, by their brokers: a connection costs both sides ten times what a short topic does."""


def records(bootstrap: str, topic: str, timeout_s: float = 60) -> Iterator[Message]:
    """
    Yield every record that the topic holds now, each partition's in order.

    Raises: TimeoutError where none comes for `timeout_s` seconds.
    """
    with _consumer(bootstrap) as consumer:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        marks = {p: _marks(consumer, TopicPartition(topic, p)) for p in partitions}
        ends = {p: end for p, (first, end) in marks.items() if end > first}
        consumer.assign([TopicPartition(topic, p, first) for p, (first, _) in marks.items()])
        left = sum(end - first for first, end in marks.values())  # fewer come where the topic was compacted
        deadline = time.monotonic() + timeout_s
        while any(_position(consumer, topic, p) < end for p, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} could not be read to its end: nothing came for {timeout_s} s")
            for message in consumer.consume(min(1000, max(left, 1)), timeout=0.5):
                left -= 1
                deadline = time.monotonic() + timeout_s
                if message.error():
                    raise RuntimeError(f"{topic}: {message.error()}")
                yield message


def close_readers() -> None:
    """Close the consumers that are lent to nobody: those of a Kafka that has ended would look for it for ever."""
    for consumers in _FREE.values():
        while consumers:
            consumers.pop().close()
    _FREE.clear()


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Consumer]:
    """Lend a consumer of these brokers that reads nothing yet; one whose reader went away halfway is not lent again."""
    free = _FREE.setdefault(bootstrap, [])
    consumer = free.pop() if free else Consumer(CONFIG | {"bootstrap.servers": bootstrap})
    read = False
    try:
        yield consumer
        consumer.unassign()
        read = True
    finally:
        if read:
            free.append(consumer)
        else:
            consumer.close()


def _marks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """Give where a partition begins and ends; right after a topic's creation there is no leader who could say so."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)
        except KafkaException as err:
            if err.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _position(consumer: Consumer, topic: str, partition: int) -> int:
    return max(0, consumer.position([TopicPartition(topic, partition)])[0].offset)


def text(message: Message, header: str) -> str:
    """Give a header as text, empty where it is not there."""
    value = dict(message.headers() or []).get(header) or b""
    return value.decode() if isinstance(value, bytes) else value


def _digest(message: Message) -> str:
    return hashlib.sha256(message.value() or b"").hexdigest()


def stored(bootstrap: str, prefix: str) -> list[Stored]:
    """Read the events topic."""
    return [
        Stored(text(m, "ce_id"), text(m, "ce_eventkey"), _digest(m), m.partition() or 0, m.offset() or 0)
        for m in records(bootstrap, f"{prefix}.events")
    ]


def executed(bootstrap: str, prefix: str, processes: Sequence[str] = PROCESSES) -> list[Executed]:
    """Read the execution records of the processes."""
    found = []
    for message in records(bootstrap, f"{prefix}.executions"):
        value = json.loads(message.value() or b"null")
        if value["process"] in processes:
            results = tuple(r["id"] for r in value["results"])
            found.append(Executed(value["execution_id"], value["event_key"], value["process"], value["status"], results))
    return found


def published(bootstrap: str, prefix: str, processes: Sequence[str] = PROCESSES) -> list[Published]:
    """Read the result topics of the processes."""
    return [
        Published(text(m, "ce_id"), text(m, "ce_causationid"), _digest(m), _number(m), m.timestamp()[1])
        for process in processes
        for m in records(bootstrap, f"{prefix}.results.{process}")
    ]


def dead(bootstrap: str, prefix: str) -> list[Dead]:
    """Read the dead letters."""
    letters = records(bootstrap, f"{prefix}.deadletters")
    return [
        Dead((m.key() or b"").decode(), _digest(m), int(text(m, "dl_attempts")), text(m, "dl_code"), text(m, "ce_type"))
        for m in letters
    ]


def _number(message: Message) -> int:
    """Give the sequence number that a result carries."""
    value = json.loads(message.value() or b"null")
    return int(value.get("n", -1)) if isinstance(value, dict) else -1
