# SPDX-License-Identifier: Apache-2.0
"""What lies in a stack's data directory, and how it is emptied."""

from __future__ import annotations

import shutil
from pathlib import Path

from bridge.domain.errors import Misconfigured

LOCK, STATE, SECRET_KEY, DEMO = "lock", "stack.json", "secret.key", "demo.json"
KAFKA, VALKEY, LOGS, JOURNAL = "kafka", "valkey", "log", "journal"
KNOWN = {LOCK, STATE, SECRET_KEY, DEMO, KAFKA, VALKEY, LOGS, JOURNAL}


def empty(data: Path) -> None:
    """
    Remove what a stack left in its data directory; the caller holds its lock.

    Raises: Misconfigured where the directory holds something else: then nothing is removed.
    """
    entries = list(data.iterdir())
    if foreign := sorted(entry.name for entry in entries if entry.name not in KNOWN):
        raise Misconfigured(f"{data} is not only a stack's data directory (it holds {foreign[0]}): nothing was removed.")
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
