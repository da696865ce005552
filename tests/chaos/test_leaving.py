# SPDX-License-Identifier: Apache-2.0
"""
A worker leaves when it is asked to: after two kills of Kafka under load, while Kafka is away, and while it still
gives it its partitions.

Three workers at once in `make test`, thirty in the long form (`CHAOS=long`, `make chaos-long`). A worker that does not leave
within its own deadline dumps its stacks and ends with 70, which fails the run and shows where it hung.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bridge import topics
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.event import Event
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import connection, producing
from bridge.settings import Settings
from tests.chaos.test_chaos import LONG, PLUGIN
from tests.conftest import StackOfTests

ROUNDS = 10 if LONG else 1
WORKERS = 3
"""Of one round: each has an installation of its own, and all of them see the same two kills."""
LEAVE_S = 15.0
DOUBT = 70
RATE = 50


@pytest.mark.chaos
@pytest.mark.timeout(150 * ROUNDS)
def test_sigterm_ends_a_worker_after_broker_kills(stack: StackOfTests, tmp_path: Path) -> None:
    taken: list[float] = []
    for number in range(ROUNDS):
        with ExitStack() as running:
            leaving = [running.enter_context(_leaving(stack, tmp_path / f"worker-{number}-{n}.log")) for n in range(WORKERS)]
            for one in leaving:
                _until(lambda one=one: _executions(one.settings) > RATE, "the worker works")
            for _ in range(2):
                before = [_executions(one.settings) for one in leaving]
                stack.kafka.kill()
                stack.kafka.start()
                for one, done in zip(leaving, before, strict=True):
                    _until(lambda one=one, done=done: _executions(one.settings) > done, "it works again")
            taken += _leave(leaving)
    print(f"{len(taken)} runs: SIGTERM to the end took {min(taken):.1f} to {max(taken):.1f} s")


@pytest.mark.chaos
@pytest.mark.timeout(90 * ROUNDS)
def test_sigterm_ends_a_worker_that_is_done_while_kafka_is_away(stack: StackOfTests, tmp_path: Path) -> None:
    """It is in doubt about one record, which says that it left; one that has more to confirm waits for Kafka."""
    settings, taken = [_site(stack) for _ in range(WORKERS)], []
    for number in range(ROUNDS):
        with ExitStack() as running:
            leaving = [
                running.enter_context(_idle(stack, one, tmp_path / f"worker-{number}-{n}.log")) for n, one in enumerate(settings)
            ]
            for one in leaving:
                _until(lambda one=one: b"The worker is ready" in one.log.read_bytes(), "it is ready")
            stack.kafka.kill()
            for one in leaving:
                _until(lambda one=one: b"Failed fetch messages" in one.log.read_bytes(), "its fetches fail")
            taken += _leave(leaving, DOUBT)
            stack.kafka.start()
    print(f"{len(taken)} runs: SIGTERM to the end took {min(taken):.1f} to {max(taken):.1f} s")


@pytest.mark.chaos
@pytest.mark.timeout(60 * ROUNDS)
def test_sigterm_ends_a_worker_that_is_still_starting(stack: StackOfTests, tmp_path: Path) -> None:
    settings = [_site(stack) for _ in range(WORKERS)]
    for number in range(ROUNDS):
        with ExitStack() as running:
            leaving = [
                running.enter_context(_idle(stack, one, tmp_path / f"worker-{number}-{n}.log")) for n, one in enumerate(settings)
            ]
            for n, one in enumerate(leaving):  # spread over the half second in which it joins its group and recovers its tables
                _until(lambda one=one: b'"following"' in one.log.read_bytes(), "it runs")
                time.sleep(0.3 * (n + number / ROUNDS))
                _leave([one])


def _leave(leaving: list[Leaving], *also: int) -> list[float]:
    """Ask each worker in turn, while the others still work; gives the seconds that each took. `also`: what it may end with."""
    taken = []
    for one in leaving:
        began = time.monotonic()
        one.worker.send_signal(signal.SIGTERM)
        code = one.worker.wait(2 * LEAVE_S)
        taken.append(time.monotonic() - began)
        assert code in (0, *also), f"exit code {code}\n{one.log.read_text()[-6000:]}"
        assert taken[-1] < LEAVE_S, f"{taken[-1]:.1f} s\n{one.log.read_text()[-6000:]}"
    return taken


@dataclass
class Leaving:
    """One worker under load."""

    settings: Settings
    worker: subprocess.Popen[bytes]
    log: Path


def _site(stack: StackOfTests) -> Settings:
    settings = stack.settings(retention_hours=1)
    ensure_topics(settings, [topics.results(f"chaos-{name}") for name in ("echo", "nap", "plain", "fail", "skip")])
    return settings


@contextmanager
def _leaving(stack: StackOfTests, log: Path) -> Iterator[Leaving]:
    settings = _site(stack)
    with _idle(stack, settings, log) as one, _load(settings):
        yield one


@contextmanager
def _idle(stack: StackOfTests, settings: Settings, log: Path) -> Iterator[Leaving]:
    with _worker(stack, settings, log) as worker:
        yield Leaving(settings, worker, log)


@contextmanager
def _worker(stack: StackOfTests, settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    own = {"EVB_LOG_FORMAT": "json", "PYTHONPATH": str(PLUGIN)}
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", "worker"],
            env=os.environ | stack.environ(settings) | own,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()


@contextmanager
def _load(settings: Settings) -> Iterator[None]:
    """Produce events straight into the topic until the block ends; unconfirmed ones do not matter here."""
    ended = threading.Event()

    def produce() -> None:
        producer, n = Producer(producing(settings, linger_ms=5, timeout_s=60)), 0
        while not ended.wait(1 / RATE):
            n += 1
            key = str(uuid.uuid4())
            attributes = {"specversion": "1.0", "id": str(n), "source": "/leaving", "type": "chaos.nap", "tenantid": "demo"}
            event = Event(attributes | {"eventkey": key, "correlationid": key}, b'{"n": %d}' % n)
            producer.produce(topics.EVENTS.name(settings), event.data, record_key(event), headers=headers_of(event))
            producer.poll(0)
        producer.purge()
        producer.flush(5)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _executions(settings: Settings) -> int:
    """Count the execution records; 0 while a broker that has just started does not lead its partitions yet."""
    consumer = Consumer(connection(settings) | {"group.id": "leaving", "log_level": 2})
    try:
        name = topics.EXECUTIONS.name(settings)
        partitions = [TopicPartition(name, p) for p in range(settings.partitions)]
        return sum(consumer.get_watermark_offsets(p, timeout=10)[1] for p in partitions)
    except KafkaException:
        return 0
    finally:
        consumer.close()


def _until(condition: Callable[[], bool], what: str, timeout_s: float = 45) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s until {what}"
        time.sleep(0.1)
