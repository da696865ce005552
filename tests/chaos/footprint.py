# SPDX-License-Identifier: Apache-2.0
"""Look at memory and open files of every process of a product, again and again while a load runs."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

import psutil

from bridge.stack.programs import Program
from tests.chaos.flat import Look
from tests.chaos.product import Product
from tests.scrape import metric

KAFKA, VALKEY = "Kafka", "Valkey"
SET_ASIDE = "evb_worker_executions_remembered_bytes"


@dataclass
class Footprint:
    """What was seen of each process, by its name: ours (web, worker and their children), Kafka and Valkey."""

    product: Product
    seen: dict[str, list[Look]] = field(default_factory=lambda: defaultdict(list))
    times: int = 0

    @property
    def ours(self) -> dict[str, list[Look]]:
        return {name: looks for name, looks in self.seen.items() if name not in (KAFKA, VALKEY)}

    async def watch(self, span_s: float, pause_s: float) -> None:
        """Look every `pause_s` seconds for so long."""
        began = time.monotonic()
        while (due := self.times * pause_s) <= span_s:
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            await asyncio.to_thread(self._look, time.monotonic() - began)

    def write(self, file: Path) -> None:
        """Write all looks as CSV."""
        lines = [
            (name, *(str(round(value, 1)) for value in astuple(look))) for name, looks in self.seen.items() for look in looks
        ]
        file.write_text("".join(",".join(line) + "\n" for line in [("process", *Look.__slots__), *lines]))

    def _look(self, at_s: float) -> None:
        self.times += 1
        product = self.product
        self.seen[KAFKA].append(_look(at_s, psutil.Process(product.stack.kafka.pid)))
        self.seen[VALKEY].append(_look(at_s, psutil.Process(product.stack.valkey.pid)))
        for n, web in enumerate(product.webs):
            self._look_at_family(at_s, f"web {n}", web)
        for n, worker in enumerate(product.workers):
            self._look_at_family(at_s, f"worker {n}", worker, SET_ASIDE)

    def _look_at_family(self, at_s: float, name: str, program: Program, set_aside: str = "") -> None:
        with suppress(psutil.NoSuchProcess, OSError):  # it ends or starts: who was not there at every look is named afterwards
            parent = psutil.Process(program.pid)
            self.seen[name].append(_look(at_s, parent, program.port, metric(program.port, set_aside) if set_aside else 0.0))
            for n, child in enumerate(sorted(parent.children(recursive=True), key=psutil.Process.create_time)):
                self.seen[f"{name} child {n}"].append(_look(at_s, child, program.port))


def _look(at_s: float, process: psutil.Process, port: int = 0, set_aside: float = 0.0) -> Look:
    """Look at one process; a connection that a client holds open is the client's, one that it has closed is counted."""
    clients = sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in process.net_connections("tcp"))
    return Look(at_s, process.pid, process.memory_info().rss / 1e6, process.num_fds() - clients, set_aside / 1e6)
