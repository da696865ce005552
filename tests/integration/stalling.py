# SPDX-License-Identifier: Apache-2.0
"""A worker process that stands still in the way that a test orders (`stalling_child`)."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from bridge.settings import Settings
from processors.watch.lastwords import REASONS
from tests.conftest import StackOfTests
from tests.integration.workers import Worker


class Stalling(Worker):
    """A worker that stands still when it is ordered to."""

    def __init__(self, stack: StackOfTests, settings: Settings, log: Path, slot: str, processes: str, lane: str = "") -> None:
        super().__init__(stack, settings, log, slot, processes, lane)
        self._orders = log / "stall"
        self._environ = dict(self._environ) | {"TEST_STALL": str(self._orders)}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.integration.stalling_child"]

    def order(self, stall: str) -> None:
        """Begin a stall: now, or where it is one of the beginning, in the next life, which begins now."""
        self._orders.write_text(stall)
        if stall in ("rebalance", "recovery"):
            self.kill()
            self.spawn()
        else:
            os.kill(self.pid, signal.SIGUSR2)

    def stalls(self) -> dict[str, float]:
        """Read the counters of all reasons."""
        return {reason: self.metric(f'evb_worker_stalls_total{{reason="{reason}"}}') for reason in REASONS}

    def stacks(self) -> int:
        """Count the stacks that its log has after its last critical line."""
        return len(re.findall(r"^(?:Current thread|Thread) 0x", self.log.read_text().rpartition('"critical"')[2], re.MULTILINE))

    def loops(self) -> set[str]:
        """Name the event loops whose tasks its log has after its last critical line."""
        return set(re.findall(r"^Task \S+ of loop (\d)", self.log.read_text().rpartition('"critical"')[2], re.MULTILINE))
