# SPDX-License-Identifier: Apache-2.0
"""The embedded Kafka: one real broker and controller in KRaft mode, on loopback, whose data outlives it."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.domain.errors import Misconfigured
from bridge.stack.cache import replace
from bridge.stack.family import Family
from bridge.stack.java import Java
from bridge.stack.part import Part
from bridge.stack.ports import LOOPBACK, answers, free_port, is_free

LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1.} %m%n
"""


class KafkaPart(Part):
    """A broker with its data in `directory`. Formatted once; started again after any end, it has what it had."""

    name = "kafka"
    start_s = 60.0
    stop_s = 20.0

    def __init__(self, directory: Path, family: Family, log: Path, java: Java) -> None:
        super().__init__(family, log)
        self._directory, self._java = directory, java
        self.port, self._controller_port = self._ports()

    @property
    def bootstrap(self) -> str:
        """How clients reach it."""
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> list[str]:
        self._write_configuration()
        self.log.parent.mkdir(parents=True, exist_ok=True)  # else Java writes of its crash into the working directory
        if not (self._directory / "data" / "meta.properties").exists():
            self._format()
        return self._java.command("kafka.Kafka", str(self._directory / "server.properties"), options=self._logging())

    def answers(self) -> bool:
        if not answers(self.port):
            return False
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "logger": Silent(), "reconnect.backoff.max.ms": 200}
        client = AdminClient(config)
        with contextlib.suppress(KafkaException):
            return bool(client.list_topics(timeout=2).brokers)
        return False

    def _ports(self) -> tuple[int, int]:
        """Keep the ports of the last life where they are free: clients remember them."""
        kept = self._directory / "ports.json"
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, controller = json.loads(kept.read_text())
            if is_free(port) and is_free(controller):
                return port, controller
        port, controller = free_port(), free_port()
        replace(kept, json.dumps([port, controller]))
        return port, controller

    def _logging(self) -> list[str]:
        crash = str(self.log.with_name("kafka-crash-")).replace("%", "%%")  # %p is the process id
        return [f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}", f"-XX:ErrorFile={crash}%p.log"]

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(_number_of_cluster()).decode().rstrip("=")
        arguments = ("format", "-t", cluster, "-c", str(self._directory / "server.properties"), "-g")
        command = self._java.command("kafka.tools.StorageTool", *arguments, options=self._logging())
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603  our own command
        if done.returncode:
            raise Misconfigured(f"Kafka's data directory {self._directory} could not be made: {done.stderr.strip()[-2000:]}")

    def _write_configuration(self) -> None:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "log.dirs": str(self._directory / "data"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            # One node: nothing to replicate, and few records in the topics of Kafka's own.
            **{f"{topic}.replication.factor": "1" for topic in ("offsets.topic", "transaction.state.log")},
            **{f"{topic}.num.partitions": "4" for topic in ("offsets.topic", "transaction.state.log")},
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            # Small enough for a laptop: threads, and the memory that the compaction claims at start.
            "num.network.threads": "2",
            "num.io.threads": "4",
            "num.recovery.threads.per.data.dir": "2",
            "log.cleaner.threads": "1",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "log.index.size.max.bytes": str(1024 * 1024),
            # Answered requests that are kept for a thousand more grow old: after three minutes of 200 events a second everything
            # stood still for 0.3 s while they were collected.
            "fetch.purgatory.purge.interval.requests": "100",
            "producer.purgatory.purge.interval.requests": "100",
            # After a kill the controller takes the broker back when its old session has ended.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }
        replace(self._directory / "server.properties", "".join(f"{name}={value}\n" for name, value in settings.items()))
        replace(self._directory / "log4j2.properties", LOGGING)


def _number_of_cluster() -> bytes:
    """Give 16 random bytes whose text does not begin with a dash, which the tool would take for an option."""
    found = uuid.uuid4().bytes
    return bytes([found[0] & 0x7F]) + found[1:]


class Silent:
    """A logger for clients that ask while nothing answers yet."""

    def log(self, *_: object) -> None:
        """Drop the line: a silent server is what is being waited for."""
