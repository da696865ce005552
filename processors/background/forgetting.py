# SPDX-License-Identifier: Apache-2.0
"""
Let go of keys of which nothing is kept any more: their last record gets a tombstone, and the worker's memory forgets them.

Not at once: an event that is given again after a crash must find that it was applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from bridge import logs
from processors.attempts.states import StateTable
from processors.clock import now_ms
from processors.stream.outbox import Outbox, Record
from processors.tables.kept import Empty

AFTER_MS: Final = 3_600_000
LOOK_S: Final = 1.0
CHUNK: Final = 200
"""Keys of a state that are let go of at a look: about 5 ms."""

LOG = logs.get("processors.forgetting")


class Forgetting:
    """One per worker; on the loop's thread."""

    def __init__(self, tables: Mapping[str, StateTable], outbox: Outbox, prefix: str) -> None:
        self._tables, self._outbox, self._prefix = tables, outbox, prefix

    async def run(self) -> None:
        """Forget until cancelled."""
        while True:
            for name, table in self._tables.items():
                self._sweep(f"{self._prefix}.{name}", table, now_ms() - AFTER_MS)
            await asyncio.sleep(LOOK_S)

    def _sweep(self, topic: str, table: StateTable, before_ms: int) -> None:
        for _ in range(CHUNK):
            if not table.empty or table.empty[0].since_ms > before_ms:
                return
            self._forget(topic, table, table.empty.popleft())

    def _forget(self, topic: str, table: StateTable, one: Empty) -> None:
        """Remove the records of a key, unless something is kept of it again, or its partition is not ours any more."""
        kept = table.kept[one.partition].get(one.key)
        if kept is None or kept.version != one.version:
            return
        for version in (*kept.stale, kept.version):
            removed = partial(_removed, table, one, version)
            self._outbox.send(Record(topic, one.key + b"/%d" % version, None, [], one.partition), removed)


def _removed(table: StateTable, one: Empty, version: int, error: Any, message: Any) -> None:
    if error is not None:
        LOG.warning("What is not needed any more could not be removed", key=str(one.key), reason=error.str())
        return
    table.wrote(message)
    table.let_go(one.partition, one.key, version)
