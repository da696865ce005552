# SPDX-License-Identifier: Apache-2.0
"""
The in-order window of one partition: what has been accepted and is not finished, and the offset that may be committed.

Pure and single-threaded. `processors.attempts.router` fills it, the executions finish its entries, `batches` commits its head.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


class Gap(Exception):
    """Records are missing between the window's end and what was read: somebody lost them, and it may be us."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"expected offset {expected}, found {found}")
        self.expected, self.found = expected, found


@dataclass(slots=True, eq=False)
class Entry:
    """One accepted record; `open` counts what still has to be confirmed for it, `since` is the loop's time of its acceptance."""

    offset: int
    size: int
    since: float
    open: int


class Window:
    """
    The entries of one partition in offset order.

    `next` is the first offset that has not been accepted; `alive` turns false for ever when the partition is taken away, and
    whoever still works for an entry then must not produce anything any more.
    """

    __slots__ = ("alive", "entries", "next", "partition", "topic")

    def __init__(self, topic: str, partition: int, first: int) -> None:
        self.topic, self.partition, self.next, self.alive = topic, partition, first, True
        self.entries: deque[Entry] = deque()

    @property
    def head(self) -> int:
        """The offset to commit: everything before it is finished."""
        return self.entries[0].offset if self.entries else self.next

    def knows(self, offset: int) -> bool:
        """Say whether the record was accepted before, as after a seek back. Raises: Gap where records before it are missing."""
        if offset > self.next:
            raise Gap(self.next, offset)
        return offset < self.next

    def accept(self, offset: int, size: int, now: float) -> Entry:
        """Take the next record in, open once. Raises: Gap where it is not the next one."""
        if offset != self.next:
            raise Gap(self.next, offset)
        entry = Entry(offset, size, now, 1)
        self.entries.append(entry)
        self.next = offset + 1
        return entry

    def advance(self) -> int:
        """Drop the finished entries at the head; returns how many they were."""
        entries, count = self.entries, 0
        while entries and not entries[0].open:
            entries.popleft()
            count += 1
        return count

    def unfinished(self) -> list[int]:
        """Give the sizes of the records that are not finished."""
        return [entry.size for entry in self.entries if entry.open]

    def close(self) -> None:
        """Give the partition up."""
        self.alive = False
        self.entries.clear()
