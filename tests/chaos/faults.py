# SPDX-License-Identifier: Apache-2.0
"""Faults against a running `evb dev`, chosen by a seed, each followed by the proof that the part is back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random

import orjson


@dataclass(frozen=True, slots=True)
class Fault:
    """Kill one part with -9."""

    role: str


def plan(seed: int, **times: int) -> list[Fault]:
    """Shuffle as many kills of each role as asked."""
    faults = [Fault(role) for role, count in times.items() for _ in range(count)]
    Random(seed).shuffle(faults)
    return faults


def pids(ready_file: Path) -> dict[str, int]:
    """Read who runs now."""
    found = orjson.loads(ready_file.read_bytes())["pids"]
    return {role: int(pid[0] if isinstance(pid, list) else pid) for role, pid in found.items()}


async def inject(fault: Fault, ready_file: Path, timeout_s: float = 60) -> None:
    """
    Kill the part and wait until the supervisor has put another process in its place.

    Raises: TimeoutError when nobody takes its place.
    """
    victim = pids(ready_file)[fault.role]
    with contextlib.suppress(ProcessLookupError):  # it may be leaving on its own at this moment, which serves as well
        os.kill(victim, signal.SIGKILL)
    async with asyncio.timeout(timeout_s):
        while pids(ready_file).get(fault.role) in (None, victim):
            await asyncio.sleep(0.05)
