# SPDX-License-Identifier: Apache-2.0
"""How long partitions stand still when the second of two workers comes, is killed, comes back, and leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.product import Bench
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.event import Event
from bridge.kafka.client import producing
from bridge.kafka.groups import owners
from bridge.settings import Settings
from bridge.stack.programs import Program
from bridge.topics import EVENTS, EXECUTIONS, results, worker_group

PREFIX = "bench-rebalance"
EACH_S = 0.1
"""Every partition gets an event so often."""
PATIENCE_S = 90.0
CALM_S = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """
    `settled_s`: until the partitions had their new owners and each had processed an event that came after that.

    `silent_s`: the longest time in which some partition finished nothing meanwhile.
    """

    settled_s: float
    silent_s: float


class Watch:
    """Follows the executions, partition by partition."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        topic, count = EXECUTIONS.name(settings), settings.partitions
        self._consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "bench", "log_level": 2})
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(count)])
        self._newest = dict.fromkeys(range(count), 0)
        self._last = dict.fromkeys(range(count), 0.0)
        self._silent = 0.0

    def change(self, began: float, holders: set[str]) -> Change:
        """Wait until these workers share all partitions, and each partition has gone on after that."""
        self._silent, deadline, shared = 0.0, began + PATIENCE_S, 0.0
        while time.time() < deadline:
            self._read()
            if not shared and self._holders() == holders:
                shared = time.time()
            if shared and all(newest > shared * 1000 for newest in self._newest.values()):
                return Change(max(self._last.values()) - began, self._silent)
        raise TimeoutError(f"partitions stand still after {PATIENCE_S} s; held by {self._holders()}")

    def calm(self) -> None:
        """Read for a while, so that what comes is measured against a steady state."""
        end = time.time() + CALM_S
        while time.time() < end:
            self._read()

    def close(self) -> None:
        self._consumer.close()

    def _holders(self) -> set[str]:
        topic, found = EVENTS.name(self._settings), owners(self._settings, worker_group(self._settings))
        held = {partition: holder for (name, partition), holder in found.items() if name == topic}
        return set(held.values()) if len(held) == self._settings.partitions else set()

    def _read(self) -> None:
        for message in self._consumer.consume(500, 0.05):
            self._note(message)
        self._silent = max(self._silent, *(time.time() - at for at in self._last.values() if at), 0.0)

    def _note(self, message: Message) -> None:
        partition, at = message.partition() or 0, message.timestamp()[1] / 1000
        self._silent = max(self._silent, at - self._last[partition]) if self._last[partition] else self._silent
        self._last[partition] = max(self._last[partition], at)
        received = orjson.loads(message.value() or b"{}")["received_ms"]
        self._newest[partition] = max(self._newest[partition], received)


def measure(bench: Bench) -> dict[str, Change]:
    """Let the second worker come, be killed for good, come back, be killed and come back at once, and leave."""
    settings = bench.settings(PREFIX, results("record"))
    watch, both, one = Watch(settings), {"0", "1"}, {"0"}
    found: dict[str, Change] = {}
    with ExitStack() as held:
        held.callback(watch.close)
        held.enter_context(bench.worker(PREFIX, EVB_WORKER_SLOT="0"))
        held.enter_context(_fed(settings))
        watch.change(time.time(), one)
        second = held.enter_context(bench.worker(PREFIX, EVB_WORKER_SLOT="1"))
        watch.change(time.time(), both)
        steps = {
            "SIGTERM, and it stays away": (lambda: _ended(second, signal.SIGTERM), one),
            "it starts": (second.spawn, both),
            "kill -9, and it stays away": (lambda: _ended(second, signal.SIGKILL), one),
            "it starts again": (second.spawn, both),
            "kill -9, and it starts again at once": (lambda: _replaced(second, signal.SIGKILL), both),
            "SIGTERM, and it starts again at once": (lambda: _replaced(second, signal.SIGTERM), both),
        }
        for name, (act, holders) in steps.items():
            watch.calm()
            began = time.time()
            act()
            found[name] = watch.change(began, holders)
    return found


def _ended(worker: Program, number: signal.Signals) -> None:
    os.kill(worker.pid, number)


def _replaced(worker: Program, number: signal.Signals) -> None:
    os.kill(worker.pid, number)
    while worker.running:
        time.sleep(0.01)
    worker.spawn()


@contextmanager
def _fed(settings: Settings) -> Iterator[None]:
    """Give every partition an event every `EACH_S` seconds until the block ends."""
    ended = threading.Event()

    def feed() -> None:
        producer = Producer(producing(settings, linger_ms=5, timeout_s=60))
        while not ended.wait(EACH_S):
            for partition in range(settings.partitions):
                key = str(uuid.uuid4())
                attributes = {"specversion": "1.0", "id": key, "source": "/bench", "type": "bench.posted", "tenantid": "bench"}
                event = Event(attributes | {"eventkey": key, "correlationid": key}, b"{}")
                headers = list(headers_of(event))
                producer.produce(EVENTS.name(settings), event.data, record_key(event), partition, headers=headers)
            producer.poll(0)
        producer.flush(10)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def report(found: dict[str, Change]) -> bool:
    """Print the table; nothing is asked for but that every partition goes on."""
    print(f"\n{'the second of two workers':38} {'settled s':>9} {'longest silence of a partition s':>33}")
    for name, change in found.items():
        print(f"{name:38} {change.settled_s:9.1f} {change.silent_s:33.1f}")
    return True
