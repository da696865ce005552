# SPDX-License-Identifier: Apache-2.0
"""
Which executions of ordered processes are open: they wait for an attempt, so later events of their key have to wait behind them.

Pure. Part of the `executions` table: it is recovered from the executions' records, and each commit notes where the oldest record
lies that a restart must read for it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

OFFSET, NAME, KEY, TOPIC, DUE = "order_offset", "order_name", "order_key", "order_topic", "order_due"
"""Headers of an ordered execution's record; all but the first only while it waits."""

NOWHERE = -1
"""Where a record lies that is not confirmed, or is not there any more: a restart cannot read it."""


class Line(NamedTuple):
    """What is kept in order: the events of one key in one process, or in the processes of one state."""

    partition: int
    process: str
    key: bytes


@dataclass(slots=True)
class Open:
    """
    An execution that waits; `offset` is its event's, `written` where its newest record lies, and `written_ms` that record's time
    (0: the record of this wait is not confirmed yet, and `written` is that of the wait before).
    """

    execution_id: str
    offset: int
    topic: str
    due_ms: int
    written: int = NOWHERE
    written_ms: int = 0

    def headers(self, line: Line) -> list[tuple[str, bytes]]:
        """Give the headers by which a restart knows it."""
        return [
            (OFFSET, b"%d" % self.offset),
            (NAME, line.process.encode()),
            (KEY, line.key),
            (TOPIC, self.topic.encode()),
            (DUE, b"%d" % self.due_ms),
        ]


class Ordered:
    """The lines of a worker's partitions that have an open execution."""

    def __init__(self) -> None:
        self._lines: defaultdict[Line, dict[str, Open]] = defaultdict(dict)
        self._line_of: dict[str, Line] = {}
        self._of_partition: defaultdict[int, dict[str, Open]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._line_of)

    def clear(self) -> None:
        """Forget everything: it will be recovered."""
        self._lines.clear()
        self._line_of.clear()
        self._of_partition.clear()

    def ahead(self, line: Line, offset: int) -> Open | None:
        """Give the oldest open execution of a line whose event came before the one at `offset`."""
        found = self._lines.get(line)
        first = min(found.values(), key=lambda one: one.offset) if found else None
        return first if first is not None and first.offset < offset else None

    def wait(self, line: Line, one: Open) -> None:
        """Note that an execution waits now; its last record stays the one to read until the new one is confirmed."""
        known = self._lines[line].get(one.execution_id)
        if known is not None and one.written < 0:
            one.written = known.written
        self._lines[line][one.execution_id] = self._of_partition[line.partition][one.execution_id] = one
        self._line_of[one.execution_id] = line

    def written(self, execution_id: str, at: int, at_ms: int) -> None:
        """Note where and when an open execution's newest record was written; nothing happens where it has ended."""
        if (line := self._line_of.get(execution_id)) is not None:
            one = self._lines[line][execution_id]
            one.written, one.written_ms = at, at_ms

    def aged(self, before_ms: int, with_ms: int) -> dict[int, list[Open]]:
        """Give each partition where a record is older than `before_ms`, with all those older than `with_ms`, oldest first."""
        due = {}
        for partition, found in self._of_partition.items():
            lying = [one for one in found.values() if one.written != NOWHERE and 0 < one.written_ms < with_ms]
            if any(one.written_ms < before_ms for one in lying):
                due[partition] = sorted(lying, key=lambda one: one.written)
        return due

    def line(self, one: Open) -> Line | None:
        """Give the line of an execution that is still open, and as it was."""
        line = self._line_of.get(one.execution_id)
        return line if line is not None and self._lines[line].get(one.execution_id) is one else None

    def end(self, execution_id: str) -> None:
        """Forget an execution that has reached its final status, if it was open."""
        line = self._line_of.pop(execution_id, None)
        if line is not None:
            del self._lines[line][execution_id], self._of_partition[line.partition][execution_id]
            if not self._lines[line]:
                del self._lines[line]

    def floor(self, partition: int) -> int | None:
        """Give the offset from which a restart must read the executions to know every open one; None where there is none."""
        return min((one.written for one in self._of_partition[partition].values() if one.written >= 0), default=None)

    def recover(self, headers: dict[str, bytes], execution_id: str, partition: int, at: int, at_ms: int) -> None:
        """Take one record of the executions topic in."""
        if DUE in headers:
            line = Line(partition, headers[NAME].decode(), headers[KEY])
            self.wait(line, Open(execution_id, int(headers[OFFSET]), headers[TOPIC].decode(), int(headers[DUE]), at, at_ms))
        elif OFFSET in headers:
            self.end(execution_id)
