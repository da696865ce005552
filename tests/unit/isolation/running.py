# SPDX-License-Identifier: Apache-2.0
"""Runs of processes in child processes, for the tests beside this file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from bridge import logs
from bridge.sdk import Context, NoConfig
from bridge.sdk.process import AnyProcess
from bridge.sdk.testing import event
from processors.calls.isolation import Isolation
from tests.abusers import Abuser, AsyncAbuser, Options, Reliable

ABUSER, ASYNC, RELIABLE = Abuser(), AsyncAbuser(), Reliable()


def context(process: AnyProcess = ABUSER) -> Context[Any]:
    config = Options(greeting="moin") if process is ABUSER else NoConfig()
    return Context("acme", "corr", "exec", 2, config, logs.get("test"), None)  # type: ignore[arg-type]  # a child has its own


async def ran(children: Isolation, what: str, data: Any = None, process: AnyProcess = ABUSER) -> Any:
    return await children.run(process, event(f"{process.name}.{what}", data), context(process))


def living(pids: Iterable[int]) -> list[int]:
    """Say which of these run; one that is dead and that nobody has waited for does not."""
    return [pid for pid in pids if runs(pid)]


def runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def pids_in(file: Path) -> list[int]:
    """Read what a child wrote of those that it started. Killed ones may live a few ms on: each has to run once more, to end."""
    return [int(pid) for pid in file.read_text().split()]


async def until(condition: Any, timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
