# SPDX-License-Identifier: Apache-2.0
"""The web server and the worker as parts of the stack: the programs of production, told by environment where the rest is."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bridge.stack.family import Family
from bridge.stack.part import Part
from bridge.stack.ports import LOOPBACK

OURS = ("EVB_KAFKA__", "EVB_REDIS__", "EVB_SECRET_KEYS", "EVB_HOST", "EVB_PORT", "EVB_WORKER_HEALTH_PORT")
"""Variables that `evb dev` sets: what the caller's shell says of another installation must not reach this one."""
KEPT = ("EVB_KAFKA__LINGER_MS", "EVB_REDIS__TIMEOUT_MS", "EVB_REDIS__WHEN_DOWN")


class Program(Part):
    """`evb <role>` in a process of its own, ready when `/readyz` on `port` says so."""

    start_s = 60.0
    stop_s = 25.0
    """More than the worker gives itself."""

    def __init__(self, role: str, port: int, family: Family, log: Path, environ: Mapping[str, str]) -> None:
        super().__init__(family, log)
        self.name, self.port, self._environ = role, port, environ

    def command(self) -> list[str]:
        return [sys.executable, "-m", "bridge.cli", self.name]

    def environ(self) -> dict[str, str]:
        return inherited() | dict(self._environ)

    def answers(self) -> bool:
        return self.readiness()[0] == http.HTTPStatus.OK

    def readiness(self) -> tuple[int, str]:
        """Give status and text of `/readyz?verbose`; 0 and nothing where it is silent."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz?verbose")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()


class LaneWorker(Program):
    """The worker of one process's own lane."""

    def __init__(self, lane: str, port: int, family: Family, log: Path, environ: Mapping[str, str]) -> None:
        super().__init__(f"worker-{lane}", port, family, log, environ)
        self._lane = lane

    def command(self) -> list[str]:
        return [sys.executable, "-m", "bridge.cli", "worker", "--lane", self._lane]


def inherited() -> dict[str, str]:
    """Give our own environment without what says where Kafka, Redis and the ports are."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(OURS)}


def chosen(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the `EVB_*` variables that the programs run with."""
    return {name: value for name, value in (inherited() | dict(environ)).items() if name.startswith("EVB_")}
