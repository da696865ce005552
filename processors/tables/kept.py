# SPDX-License-Identifier: Apache-2.0
"""What a worker knows of a key of a state: its value, and which executions it comes from. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

MARKS: Final = 8
REPLAYS: Final = 4
"""Executions of one event, and replays, that a key remembers."""


class Mark(NamedTuple):
    """An execution that was applied, by which of its attempts; its record lies in the state's record at the offset `at`."""

    execution_id: str
    at: int
    replay: bool
    attempt: int = 1


class Kept(NamedTuple):
    """
    What is kept of a key; `value` is JSON, or nothing.

    `applied` and `stored_ms` are the offset and time of the last event that it comes from, `marks` its executions and the last
    replays. `stale` are older versions that have no tombstone yet.
    """

    version: int = 0
    value: bytes = b""
    applied: int = -1
    stored_ms: int = 0
    marks: tuple[Mark, ...] = ()
    stale: tuple[int, ...] = ()

    def mark(self, execution_id: str) -> Mark | None:
        """Give an execution's mark."""
        return next((mark for mark in self.marks if mark.execution_id == execution_id), None)

    def again(self, offset: int, stored_ms: int) -> bool:
        """
        Say whether an event lies before the last one that was applied.

        Offsets alone would not do: a topic that was deleted and made again counts from the beginning.
        """
        return offset < self.applied and stored_ms <= self.stored_ms


NOTHING = Kept()


class Empty(NamedTuple):
    """A key of which nothing is kept since a time, and the version that says so."""

    since_ms: int
    partition: int
    key: bytes
    version: int
