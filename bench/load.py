# SPDX-License-Identifier: Apache-2.0
"""Drive a server with wrk and count what really reached Kafka."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Consumer, TopicPartition

HERE = Path(__file__).parent
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of wrk: rates per second, latencies in ms; `missing` 2xx have no record in Kafka (must be 0)."""

    rate: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int
    missing: int


def body(size: int = 512) -> str:
    """Make a JSON body of about `size` bytes that looks like an order."""
    order = {"order_id": "ord_0123abcd", "customer": {"id": 42, "email": "a@example.org"}, "total": 59.9, "currency": "EUR"}
    order["items"] = [{"sku": "A-1", "qty": 2}, {"sku": "B-2", "qty": 1}]
    order["note"] = "x" * max(0, size - len(orjson.dumps(order)) - len(',"note":""'))
    return orjson.dumps(order).decode()


def count_records(bootstrap: str, topic: str) -> int:
    """Count the records of a topic by its watermarks."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-count", "log_level": 2})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions)
    finally:
        consumer.close()


def settled_count(bootstrap: str, topic: str) -> int:
    """Count the records once no more arrive: requests that wrk cut off at its end are still being stored."""
    count, before = count_records(bootstrap, topic), -1
    while count != before:
        time.sleep(LOOK_S)
        count, before = count_records(bootstrap, topic), count
    return count


def run(url: str, connections: int, seconds: int, *, key: str, bootstrap: str, topic: str, event_type: str) -> Figures:
    """
    Load `url` with wrk over `connections` connections and compare its 2xx with the records that arrived.

    Raises: RuntimeError where wrk is missing or fails.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is missing: run bench/install-wrk.sh (Debian, Ubuntu) or your system's package manager")
    before = settled_count(bootstrap, topic)
    environment = os.environ | {
        "BENCH_BODY": body(),
        "BENCH_SALT": uuid.uuid4().hex[:8],
        "BENCH_KEY": key,
        "BENCH_TYPE": event_type,
    }
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "6s", "-s", str(HERE / "post.lua"), url]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    told = json.loads(next(line for line in text.splitlines() if line.startswith("BENCH "))[6:])
    accepted = told["requests"] - told["not_2xx"]
    missing = max(0, accepted - (settled_count(bootstrap, topic) - before))
    seconds_taken = told["micros"] / 1e6
    return Figures(accepted / seconds_taken, told["p50"] / 1e3, told["p99"] / 1e3, told["not_2xx"], told["broken"], missing)
