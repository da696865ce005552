# SPDX-License-Identifier: Apache-2.0
"""Kafka's side of the account: whole topics as facts, read with a plain consumer and none of the product's own code."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, Message, TopicPartition

from tests.chaos.accounting import Dead, Executed, Published, Stored

PROCESSES = ("chaos-echo", "chaos-nap", "chaos-plain", "chaos-fail", "chaos-skip")


def records(bootstrap: str, topic: str, timeout_s: float = 60) -> Iterator[Message]:
    """Yield every record that the topic holds now, partition by partition in order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-check", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        marks = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in partitions}
        ends = {p: end for p, (first, end) in marks.items() if end > first}
        consumer.assign([TopicPartition(topic, p, first) for p, (first, _) in marks.items()])
        left = sum(end - first for first, end in marks.values())  # fewer come where the topic was compacted
        deadline = time.monotonic() + timeout_s
        while any(_position(consumer, topic, p) < end for p, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} could not be read to its end within {timeout_s} s")
            for message in consumer.consume(min(1000, max(left, 1)), timeout=0.5):
                left -= 1
                if message.error():
                    raise RuntimeError(f"{topic}: {message.error()}")
                yield message
    finally:
        consumer.close()


def _position(consumer: Consumer, topic: str, partition: int) -> int:
    return max(0, consumer.position([TopicPartition(topic, partition)])[0].offset)


def _text(message: Message, header: str) -> str:
    return dict(message.headers() or []).get(header, b"").decode()


def _digest(message: Message) -> str:
    return hashlib.sha256(message.value() or b"").hexdigest()


def stored(bootstrap: str, prefix: str) -> list[Stored]:
    """Read the events topic."""
    return [
        Stored(_text(m, "ce_id"), _text(m, "ce_eventkey"), _digest(m), m.partition(), m.offset())
        for m in records(bootstrap, f"{prefix}.events")
    ]


def executed(bootstrap: str, prefix: str) -> list[Executed]:
    """Read the execution records of the chaos processes."""
    found = []
    for message in records(bootstrap, f"{prefix}.executions"):
        value = json.loads(message.value())
        if value["process"] in PROCESSES:
            results = tuple(r["id"] for r in value["results"])
            found.append(Executed(value["execution_id"], value["event_key"], value["process"], value["status"], results))
    return found


def published(bootstrap: str, prefix: str) -> list[Published]:
    """Read the result topics of the chaos processes."""
    return [
        Published(_text(m, "ce_id"), _text(m, "ce_causationid"), _digest(m))
        for process in PROCESSES
        for m in records(bootstrap, f"{prefix}.results.{process}")
    ]


def dead(bootstrap: str, prefix: str) -> list[Dead]:
    """Read the dead letters."""
    letters = records(bootstrap, f"{prefix}.deadletters")
    return [Dead((m.key() or b"").decode(), _digest(m), int(dict(m.headers() or [])["dl_attempts"])) for m in letters]
