# SPDX-License-Identifier: Apache-2.0
"""A worker process as the tests run it, the events that it is given, and what it leaves in Kafka."""

from __future__ import annotations

import socket
import struct
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from confluent_kafka import OFFSET_END, Consumer, Message, Producer, TopicPartition

from bridge import topics
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.event import Event
from bridge.domain.execution import Execution
from bridge.domain.ids import event_key
from bridge.executions import decode
from bridge.kafka.admin import ensure_topics, result_topics
from bridge.kafka.client import producing
from bridge.settings import Settings
from bridge.stack.keeper import Keeper
from bridge.stack.ports import free_port
from bridge.stack.programs import Program
from tests.chaos.topics import records
from tests.conftest import StackOfTests, as_environ
from tests.scrape import metric

PATIENCE_S = 40.0
"""Longer than anything takes on a busy machine; a condition that holds ends the wait at once."""


class Worker(Program):
    """One worker in a slot, with the processes of `worker_child`."""

    def __init__(
        self, stack: StackOfTests, settings: Settings, log: Path, slot: str = "0", processes: str = "", lane: str = ""
    ) -> None:
        port = free_port()
        own = {"EVB_WORKER_SLOT": slot, "EVB_WORKER_HEALTH_PORT": str(port), "EVB_LOG_FORMAT": "json"}
        if lane:
            own["EVB_WORKER_LANE"] = lane
        if processes:
            own["TEST_PROCESSES"] = processes
        super().__init__("worker", port, stack.family, log / f"worker-{slot}-{port}.log", as_environ(settings) | own)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.integration.worker_child"]

    def lines(self) -> list[dict[str, object]]:
        """What it logged, over all its lives."""
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]

    def metric(self, name: str) -> float:
        """Read a metric without labels."""
        return metric(self.port, name)

    def settle(self, settings: Settings) -> None:
        """Wait until it has finished every event that there is."""

        with settling(settings) as settled:

            def done() -> bool:
                assert self.running, self.last_words()
                return settled()

            until(done, "everything is finished")

    def ended(self) -> int:
        """Wait for its end; gives the exit code."""
        until(lambda: self.exit_code is not None, f"the worker ends\n{self.last_words()}")
        code = self.exit_code
        assert code is not None
        return code

    def asked_to_end(self) -> int:
        """Ask it to stop, and wait; gives the exit code."""
        self.ask_to_end()
        return self.ended()


@contextmanager
def working(
    stack: StackOfTests, settings: Settings, log: Path, slot: str = "0", processes: str = "", lane: str = ""
) -> Iterator[Worker]:
    """A worker that runs; what is left of it is killed at the end."""
    worker = Worker(stack, settings, log, slot, processes, lane)
    try:
        worker.start()
        yield worker
    finally:
        worker.kill()


def site(stack: StackOfTests, **overrides: object) -> Settings:
    """Settings with topics of their own; those of its processes a worker makes when it starts."""
    settings = stack.settings(**overrides)
    ensure_topics(settings)
    return settings


def event(type_: str, data: bytes = b"{}", tenant: str = "acme", **attributes: str) -> Event:
    """An event as the door makes it, each with an id of its own."""
    name = uuid.uuid4().hex
    key = event_key(tenant, "/shop", name, type_, "application/json", data)
    given = {"specversion": "1.0", "id": name, "source": "/shop", "type": type_, "datacontenttype": "application/json"}
    return Event(given | {"tenantid": tenant, "eventkey": key, "correlationid": key} | attributes, data)


Headers = list[tuple[str, bytes | None]]


class Sender:
    """Puts records into a topic, good ones and bad ones; `flush` returns once Kafka has them."""

    def __init__(self, settings: Settings, topic: topics.Topic = topics.EVENTS) -> None:
        self._topic = topic.name(settings)
        self._producer = Producer(producing(settings, linger_ms=5, timeout_s=30))
        self._faults: list[str] = []

    def send(self, *events: Event, partition: int = -1) -> None:
        for one in events:
            self.send_raw(one.data, record_key(one), list(headers_of(one)), partition)

    def send_raw(self, value: bytes | None, key: bytes | None, headers: Headers, partition: int = -1) -> None:
        def report(error: object, _: Message) -> None:
            if error is not None:
                self._faults.append(str(error))

        self._producer.produce(self._topic, value, key, partition, headers=headers, on_delivery=report)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0
        assert not self._faults, self._faults


@dataclass
class Aftermath:
    """Everything that lies in Kafka, by what it belongs to."""

    events: list[Message]
    executions: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    letters: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    results: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, settings: Settings) -> Aftermath:
        broker = settings.kafka.bootstrap_servers
        found = cls(list(records(broker, topics.EVENTS.name(settings))))
        for record in records(broker, topics.EXECUTIONS.name(settings)):
            execution = decode(record.value() or b"")
            assert record.key() == execution.execution_id.encode()
            found.executions[execution.execution_id].append(execution)
        for record in records(broker, topics.DEAD_LETTERS.name(settings)):
            found.letters[(record.key() or b"").decode()].append(record)
        for topic in result_topics(settings):
            for record in records(broker, topic.name):
                found.results[headers(record)["ce_causationid"]].append(record)
        return found


def headers(record: Message) -> dict[str, str]:
    """A record's headers as texts; one that is no UTF-8, or null, is left out."""
    found = {}
    for name, value in record.headers() or []:
        if isinstance(value, bytes) and value.decode(errors="ignore").encode() == value:
            found[name] = value.decode()
    return found


def finished(settings: Settings) -> list[Execution]:
    """Read the execution records that there are now."""
    found = records(settings.kafka.bootstrap_servers, topics.EXECUTIONS.name(settings))
    return [decode(record.value() or b"") for record in found]


def settled(settings: Settings) -> bool:
    """Say whether every event and redelivery is finished and committed: what it caused was stored before that."""
    with settling(settings) as done:
        return done()


@contextmanager
def settling(settings: Settings) -> Iterator[Callable[[], bool]]:
    """Give the question of `settled`, to be asked again and again at little cost."""
    group, servers = topics.worker_group(settings), settings.kafka.bootstrap_servers
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False})
    read = [(topic.name(settings), partition) for topic in topics.READ_BY_WORKERS for partition in range(settings.partitions)]

    def done() -> bool:
        committed = consumer.committed([TopicPartition(*one) for one in read], timeout=10)
        finished = {(one.topic, one.partition): one.offset for one in committed if one.error is None}
        ends = consumer.offsets_for_times([TopicPartition(*one, OFFSET_END) for one in read], timeout=10)
        return all(one.error is None and max(0, finished.get((one.topic, one.partition), 0)) >= one.offset for one in ends)

    try:
        yield done
    finally:
        consumer.close()


def kept(keeper: Keeper, settings: Settings) -> None:
    """Supervise until everything is finished, and the worker is well."""

    with settling(settings) as settled:

        def done() -> bool:
            keeper.look()
            return keeper.part.answers() and settled()

        until(done, "the worker is back and everything is finished")


def ends(settings: Settings, topic: topics.Topic) -> dict[int, int]:
    """Give the end of each partition."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "unused"})
    try:
        asked = {p: TopicPartition(topic.name(settings), p) for p in range(settings.partitions)}
        return {p: consumer.get_watermark_offsets(tp, timeout=10)[1] for p, tp in asked.items()}
    finally:
        consumer.close()


def until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds, asking the less often the longer that takes: the questions cost a broker something."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < timeout_s, f"waited {timeout_s:.0f} s until {what}"
        time.sleep(min(0.5, 0.05 + waited / 20))


def forget_member(settings: Settings, slot: str = "0") -> None:
    """Tell Kafka that the worker of this slot is gone for good, rather than wait for the end of its session."""
    group = topics.worker_group(settings).encode()
    text = struct.pack(f">h{len(group)}s", len(group), group)
    member = struct.pack(f">ihh{len(slot)}s", 1, 0, len(slot), slot.encode())
    request = struct.pack(">hhih", 13, 3, 1, -1) + text + member  # LeaveGroup, version 3
    host, port = settings.kafka.bootstrap_servers.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.recv(4096)
    assert struct.unpack_from(">h", answer, 12) == (0,), answer
