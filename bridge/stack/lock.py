# SPDX-License-Identifier: Apache-2.0
"""Locks between processes: one filler of the cache, one stack for a data directory. Freed by the system when the holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.domain.errors import Misconfigured
from bridge.stack.directory import LOCK


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the length of the block; waits as long as another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def own_directory(directory: Path, *, wait_s: float = 10.0) -> int:
    """
    Take the data directory for this process; gives the descriptor that holds it until it and its copies are closed.

    Where the last owner is dead but its children are still being ended, waits up to `wait_s` seconds.
    Raises: Misconfigured where a living stack has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while not _locked(descriptor):
        owner = int(os.pread(descriptor, 20, 0) or b"0")
        if (owner and _lives(owner)) or time.monotonic() > deadline:
            os.close(descriptor)
            raise Misconfigured(
                f"{directory} is in use by a running stack (process {owner}): stop that one, or choose another with --data."
            )
        time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
