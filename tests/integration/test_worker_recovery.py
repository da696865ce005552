# SPDX-License-Identifier: Apache-2.0
"""
A worker knows the finished executions of the last hour again within 10 s of its start, in bounded memory.

20,000 in `make test`; TEST_RECOVERY=200000 for the long form.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from bridge import topics
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, Status
from bridge.executions import encode
from bridge.kafka.client import producing
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.workers import Aftermath, Sender, Worker, event, site

MANY = int(os.environ.get("TEST_RECOVERY", "20000"))
RECOVERED_S = 10.0
GROWN_MIB = 100
"""All generations of the digests, and what reading takes."""
HOUR_MS = 3_600_000


def finished(one: Event, at_ms: int, partition: int) -> tuple[bytes, bytes]:
    """Give key and value of an execution's final record, of the size that records have."""
    execution_id = ids.execution_id(one.key, "quick")
    made = Execution(
        execution_id=execution_id,
        event_key=one.key,
        tenant=one.tenant,
        correlation_id=one.correlation_id,
        event_id=one.id,
        event_source=one.source,
        event_type=one.type,
        process="quick",
        version="1.2.3",
        status=Status.COMPLETED,
        attempt=1,
        received_ms=at_ms,
        started_ms=at_ms,
        finished_ms=at_ms,
        event_position=Position("events", partition, 7),
    )
    return execution_id.encode(), encode(made)


def remember(settings: Settings, known: list[Event], forgotten: Event, now_ms: int) -> None:
    """Fill the executions topic as two hours of work would, oldest first; what is forgotten ended 61 minutes ago."""
    producer = Producer(producing(settings, linger_ms=20, timeout_s=60) | {"compression.type": "lz4"})
    of_note = {MANY: forgotten} | {MANY + MANY // 2 + n: one for n, one in enumerate(known)}
    older = event("t.older")
    for n in range(2 * MANY):
        one = of_note.get(n) or (older if n < MANY else event("t.done"))
        at_ms = now_ms - 2 * HOUR_MS + n * (2 * HOUR_MS - 120_000) // (2 * MANY)
        topic, partition = topics.EXECUTIONS.name(settings), n % settings.partitions
        key, value = finished(one, at_ms, partition)
        while True:
            try:
                producer.produce(topic, value, key, partition, timestamp=at_ms, headers=[("status", b"completed")])
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


def started(worker: Worker, settings: Settings) -> tuple[float, int]:
    """Start a worker; gives the seconds until its first event is finished, and its memory in MiB."""
    began = time.monotonic()
    worker.start()
    worker.settle(settings)
    return time.monotonic() - began, psutil.Process(worker.pid).memory_info().rss // 2**20


@pytest.mark.timeout(60 + MANY // 1000)
def test_tables_are_recovered_in_time(stack: StackOfTests, tmp_path: Path) -> None:
    settings, empty, known = site(stack), site(stack), [event("t.known") for _ in range(40)]
    forgotten = event("t.forgotten")
    for where in (settings, empty):
        sender = Sender(where)
        sender.send(event("t.new"), *((*known, forgotten) if where is settings else ()))
        sender.flush()
    remember(settings, known, forgotten, int(time.time() * 1000))
    fresh, worker = (Worker(stack, where, tmp_path, processes="quick") for where in (empty, settings))
    try:
        _, least = started(fresh, empty)
        assert fresh.asked_to_end() == 0
        seconds, size = started(worker, settings)
        (recovered,) = (line for line in worker.lines() if line["event"] == "Tables recovered")
        assert abs(int(str(recovered["executions"])) - MANY) <= 2 + MANY // 20, "the last hour, and not more"
        assert worker.metric("evb_executions_repeated_total") == len(known)
        assert worker.asked_to_end() == 0
    finally:
        fresh.kill()
        worker.kill()
    print(f"{MANY} executions: recovered in {recovered['seconds']} s, first event after {seconds:.1f} s, {least} -> {size} MiB")
    assert float(str(recovered["seconds"])) < RECOVERED_S
    assert size - least < GROWN_MIB
    assert sum(map(len, Aftermath.of(settings).results.values())) == 2, "the new event and the forgotten one"
