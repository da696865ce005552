# SPDX-License-Identifier: Apache-2.0
"""
The whole product on one machine: Kafka, Valkey, the workers, a web server and a demo tenant, kept alive until told to end.

Called by `evb dev`. The parts start side by side; what ends is started again; the ready file always tells the present state.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from bridge.domain.errors import Misconfigured
from bridge.egress.addresses import LOOPBACK as LOOPBACK_NETWORKS
from bridge.hosting.find import find_processes
from bridge.kafka.admin import ensure_topics
from bridge.settings import Settings, load
from bridge.stack.cache import replace
from bridge.stack.demo import Demo, demo_credentials
from bridge.stack.directory import JOURNAL, SECRET_KEY, STATE
from bridge.stack.found import StackInfo, write
from bridge.stack.keeper import Keeper
from bridge.stack.ports import LOOPBACK, free_port, is_free
from bridge.stack.programs import LaneWorker, Program, chosen
from bridge.stack.stack import Stack
from bridge.stack.whole import await_whole

LOOK_EVERY_S = 0.05
EGRESS = "EVB_EGRESS_ALLOWED_NETWORKS"


class Supervisor:
    """
    One running product in the data directory `data`, on `port` (0: a free one).

    `say` is told, in sentences, what a person at the terminal wants to know.
    """

    def __init__(self, data: Path, port: int, *, ready_file: Path | None, reset: bool, say: Callable[[str], None]) -> None:
        if port and not is_free(port):
            raise Misconfigured(f"Port {port} is in use: choose another with --port, or --port 0 for a free one.")
        self._say = say
        self.stack = Stack(data, reset=reset)
        self._files = (self.stack.data / STATE, *([ready_file.absolute()] if ready_file else []))
        for file in self._files:
            file.unlink(missing_ok=True)
        self._port = port or free_port()
        self._environ = self._variables(free_port())
        self.settings = settings_for(self._environ)
        self.web = self._program("web", self._port)
        self.workers = (self._program("worker", self.settings.worker_health_port), *map(self._lane, find_processes().lanes))
        self._demo: Demo | None = None
        self._current = True

    @property
    def info(self) -> StackInfo:
        """What the ready file tells."""
        stack = self.stack
        pids = {part.name: part.pid for part in (self.web, *self.workers, stack.kafka, stack.valkey)}
        url = f"http://{LOOPBACK}:{self._port}"
        demo = self._demo
        info = StackInfo(url, stack.kafka.bootstrap, stack.redis, pids, environ=chosen(self._environ))
        if demo is None:
            return info
        return dataclasses.replace(
            info, tenants=(demo.tenant,), buildable=demo.buildable, eventingress=demo.eventingress, flow=demo.flow
        )

    def start(self) -> StackInfo:
        """
        Start everything, and return once everything answers and the ready file is written.

        Raises: Misconfigured, with the end of the log of what did not start.
        """
        stack = self.stack
        stack.kafka.spawn()
        stack.valkey.spawn()
        stack.valkey.wait()
        stack.kafka.wait()
        ensure_topics(self.settings)
        self.web.spawn()
        for worker in self.workers:
            worker.spawn()
        self._demo = demo_credentials(self.settings, stack.data)
        self.web.wait()
        for worker in self.workers:
            worker.wait()
        await_whole(self.web, self._say)
        write(self.info, *self._files)
        return self.info

    def keep(self, ended: Callable[[float], bool]) -> None:
        """Start again whatever ends, the reaper too, and keep the ready file current, until `ended`, which waits, is true."""
        keepers = [Keeper(part, self._say) for part in (self.stack.kafka, self.stack.valkey, *self.workers, self.web)]
        told = self.info.pids
        while not ended(LOOK_EVERY_S):
            for keeper in keepers:
                keeper.look()
            if self.stack.family.look():
                self._say(
                    "The reaper, which ends the parts where `evb dev` is killed with -9, had ended itself; another one runs now."
                )
            pids = self.info.pids
            if pids != told and all(pids.values()):  # never a 0: a signal to process 0 would hit the reader's own group
                told = pids if self._written() else told

    def _written(self) -> bool:
        """Write the ready file; where that is not possible (a full disk), say so once, and leave it to the next look."""
        try:
            write(self.info, *self._files)
        except OSError as err:
            if self._current:
                self._say(f"The ready file cannot be written: {err}; trying again")
            self._current = False
        else:
            self._current = True
        return self._current

    def stop(self) -> None:
        """End web, worker, Valkey and Kafka in this order; data stays."""
        for file in self._files:
            file.unlink(missing_ok=True)
        self.web.stop()
        for worker in self.workers:
            worker.stop()
        self.stack.stop()

    def close(self) -> None:
        """End at once what still runs."""
        for part in (self.web, *self.workers):
            part.kill()
        self.stack.close()

    def _program(self, role: str, port: int) -> Program:
        return Program(role, port, self.stack.family, self.stack.log / f"{role}.log", self._environ)

    def _lane(self, process: str) -> Program:
        port = free_port()
        environ = self._environ | {"EVB_WORKER_HEALTH_PORT": str(port)}
        return LaneWorker(process, port, self.stack.family, self.stack.log / f"worker-{process}.log", environ)

    def _variables(self, health_port: int) -> dict[str, str]:
        key = self.stack.data / SECRET_KEY
        if not key.exists():
            replace(key, Fernet.generate_key().decode(), mode=0o600)
        given = any(name.startswith(EGRESS) for name in os.environ)
        ways_out = {} if given else {EGRESS: LOOPBACK_NETWORKS}  # so that a receiver on this machine can be tried
        return ways_out | {
            "EVB_KAFKA__BOOTSTRAP_SERVERS": self.stack.kafka.bootstrap,
            "EVB_REDIS__URL": self.stack.redis,
            "EVB_SECRET_KEYS_FILE": str(key),
            "EVB_JOURNAL_DIR": str(self.stack.data / JOURNAL),
            "EVB_HOST": LOOPBACK,
            "EVB_PORT": str(self._port),
            "EVB_WORKER_HEALTH_PORT": str(health_port),
        }


def settings_for(environ: Mapping[str, str]) -> Settings:
    """Give the settings that the programs of the stack run with. Raises: Misconfigured."""
    return load(chosen(environ))
