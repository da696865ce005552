# SPDX-License-Identifier: Apache-2.0
"""
Count events per tenant and minute, exactly, for one partition. Pure: the `usage` table writes and restores what this holds.

Each count is absolute and carries `applied`, the next offset after the last record that it has counted, so that a record that
is read again after a crash never counts twice. The fold looks at records only: their offset, tenant and time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

OPEN_MINUTES = 5
"""A minute takes events until this many newer minutes have begun in the partition; a later event gets a key of its own."""

MINUTE_MS = 60_000


class UsageKey(NamedTuple):
    """What is counted; `late` is the offset of the one event that came after its minute was closed, else -1."""

    tenant: str
    minute: int
    late: int = -1


@dataclass(slots=True)
class Count:
    """`events` seen before the offset `applied`; `written` is where its newest record lies in the usage topic (-1: none yet)."""

    events: int = 0
    applied: int = 0
    written: int = -1


class PartitionUsage:
    """The open counts of one partition, and which of them are newer than their record."""

    def __init__(self) -> None:
        self.counts: dict[UsageKey, Count] = {}
        self.dirty: set[UsageKey] = set()
        self.newest = 0
        self.end = 0

    def count(self, tenant: str, time_ms: int, offset: int) -> None:
        """Count one record, unless it is counted already."""
        minute = time_ms // MINUTE_MS
        key = UsageKey(tenant, minute)
        count = self.counts.get(key)
        if count is None:
            if minute < self.newest - OPEN_MINUTES:
                key = UsageKey(tenant, minute, offset)
            count = self.counts.setdefault(key, Count())
            self.newest = max(self.newest, minute)
        if offset >= count.applied:
            count.events += 1
            count.applied = offset + 1
            self.dirty.add(key)

    def take(self) -> Iterator[tuple[UsageKey, Count]]:
        """Give the counts whose record is out of date; they count as written from then on."""
        dirty, self.dirty = self.dirty, set()
        for key in dirty:
            yield key, self.counts[key]

    def written(self, key: UsageKey, offset: int) -> None:
        """Note where a count's newest record lies."""
        self.end = max(self.end, offset + 1)
        if key in self.counts:
            self.counts[key].written = offset

    def restore(self, key: UsageKey, events: int, applied: int, offset: int) -> None:
        """Take a record of the topic in; of two for one key the one that has counted further stands."""
        known = self.counts.get(key)
        if known is None or applied >= known.applied:
            self.counts[key] = Count(events, applied, offset)
        else:
            self.dirty.add(key)  # an older record lies behind a newer one: a paused worker wrote it; write ours again
        self.end = max(self.end, offset + 1)
        if key.late < 0:
            self.newest = max(self.newest, key.minute)

    def close(self, committed: int) -> None:
        """Forget the counts that no record from the offset `committed` on can change."""
        oldest = self.newest - OPEN_MINUTES
        for key, count in list(self.counts.items()):
            if count.applied <= committed and key not in self.dirty and (key.minute < oldest or key.late >= 0):
                del self.counts[key]

    def floor(self) -> int:
        """Give the position in the usage topic from which a restart must read to know every open count."""
        return min((count.written for count in self.counts.values() if count.written >= 0), default=self.end)
