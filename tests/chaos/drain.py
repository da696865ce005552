# SPDX-License-Identifier: Apache-2.0
"""Waits until every stored event has ended, and says when the last of them did."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from tests.chaos.accounting import FINAL
from tests.chaos.topics import text

PATIENCE_S = 120.0


def drained(bootstrap: str, prefix: str, process: Mapping[str, str], patience_s: float = PATIENCE_S) -> float | None:
    """
    Read events and executions until each event has a final record of its process (`process` maps the event's id to it).

    Gives when Kafka took the last of the final records (seconds since the epoch); None where no other event comes or ends for
    `patience_s` seconds and some event has not ended: which one is the checker's to say.
    """
    events, executions = f"{prefix}.events", f"{prefix}.executions"
    open_, done, last, known = set[tuple[str, str]](), set[tuple[str, str]](), 0, 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-drain", "enable.auto.commit": False, "log_level": 2})
    try:
        partitions = consumer.list_topics(events, timeout=30).topics[events].partitions
        consumer.assign([TopicPartition(topic, p, 0) for topic in (events, executions) for p in partitions])
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            batch = consumer.consume(2000, 0.5)
            for message in batch:
                if message.error():
                    continue  # the client asks again; what stays away is missed below
                if message.topic() == events:
                    open_.add((text(message, "ce_eventkey"), process.get(text(message, "ce_id"), "")))
                    continue
                value = json.loads(message.value() or b"null")
                at = (value["event_key"], value["process"])
                if value["status"] in FINAL and at not in done:
                    done.add(at)
                    last = max(last, message.timestamp()[1])
            if known != (known := len(open_) + len(done)):
                deadline = time.monotonic() + patience_s
            elif not batch and open_ and open_ <= done:
                return last / 1000
        return None
    finally:
        consumer.close()
