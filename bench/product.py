# SPDX-License-Identifier: Apache-2.0
"""The measured parts: real Kafka (full JIT) and Valkey, and our web server or worker as processes, each started on demand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
from cryptography.fernet import Fernet

from bridge.kafka.admin import ensure_topics
from bridge.settings import Settings, load
from bridge.stack.part import Part
from bridge.stack.ports import LOOPBACK, answers, free_port
from bridge.stack.programs import Program
from bridge.stack.stack import Stack
from bridge.topics import Topic

P = TypeVar("P", bound=Part)


class Server(Part):
    """Any other program that listens on `port`: the floors."""

    def __init__(self, name: str, stack: Stack, command: list[str], port: int, environ: Mapping[str, str]) -> None:
        super().__init__(stack.family, stack.log / f"{name}.log")
        self.name, self.port, self._command, self._environ = name, port, command, environ

    def command(self) -> list[str]:
        return self._command

    def environ(self) -> dict[str, str]:
        return os.environ | dict(self._environ)

    def answers(self) -> bool:
        return not self.port or answers(self.port)


class Bench:
    """One stack with its settings: what a measurement is given."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._secret_key = Fernet.generate_key().decode()

    @property
    def kafka(self) -> str:
        return self.stack.kafka.bootstrap

    def environ(self, prefix: str, **more: str) -> dict[str, str]:
        """Give the variables of one installation under a prefix of its own."""
        return {
            "EVB_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "EVB_REDIS__URL": self.stack.redis,
            "EVB_SECRET_KEYS": self._secret_key,
            "EVB_TOPIC_PREFIX": prefix,
            "EVB_HOST": LOOPBACK,
            "EVB_LOG_LEVEL": "warning",
        } | more

    def settings(self, prefix: str, *extra: Topic) -> Settings:
        """Create the installation's topics and give its settings."""
        settings = load(self.environ(prefix))
        ensure_topics(settings, extra)
        return settings

    @contextmanager
    def web(self, prefix: str, **more: str) -> Iterator[Program]:
        """Run `evb web`, and end it afterwards."""
        port = free_port()
        environ = self.environ(prefix, EVB_PORT=str(port), **more)
        yield from _run(Program("web", port, self.stack.family, self.stack.log / "web.log", environ))

    @contextmanager
    def worker(self, prefix: str, **more: str) -> Iterator[Program]:
        """Run `evb worker`, and end it afterwards."""
        port = free_port()
        environ = self.environ(prefix, EVB_WORKER_HEALTH_PORT=str(port), **more)
        yield from _run(Program("worker", port, self.stack.family, self.stack.log / "worker.log", environ))

    @contextmanager
    def server(self, name: str, command: list[str], port: int, **environ: str) -> Iterator[Server]:
        """Run another program, and end it afterwards."""
        yield from _run(Server(name, self.stack, command, port, environ))


def _run(part: P) -> Iterator[P]:
    part.start()
    try:
        yield part
    finally:
        part.stop()


@contextmanager
def bench() -> Iterator[Bench]:
    """Start Kafka and Valkey in a fresh directory, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="evb-bench-") as data, Stack(Path(data), as_shipped=True) as stack:
        yield Bench(stack)


def memory_mb(pid: int) -> float:
    """Give the resident memory of a process and its children in MB (10⁶ bytes)."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(p.memory_info().rss for p in processes) / 1e6
