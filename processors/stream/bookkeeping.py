# SPDX-License-Identifier: Apache-2.0
"""
What a commit depends on: the usage counts are written and confirmed before the offsets that they cover are committed.

Called by the router, which owns the windows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from faust.types import TP

from bridge.domain.event import Event
from processors.ending import doubt
from processors.stream.outbox import Outbox, Record
from processors.stream.window import Window
from processors.tables.counting import PartitionUsage, UsageKey
from processors.tables.ordered import Ordered
from processors.tables.record_tables import Note, UsageTable, record_key


class Bookkeeping:
    """
    Counts events, writes the counts, and says how far that allows a commit.

    `source` is the topic that the worker's lane begins with: its commits carry the note.
    """

    def __init__(self, usage: UsageTable, ordered: Ordered, outbox: Outbox, source: str, usage_topic: str) -> None:
        self._usage, self._ordered, self._outbox = usage, ordered, outbox
        self._source, self._usage_topic = source, usage_topic
        self._counted: dict[Window, int] = {}

    def count(self, record: Any, event: Event) -> None:
        """Count one event."""
        self._usage.of[record.partition].count(event.tenant, record.timestamp, record.offset)

    def heads(self, windows: Mapping[TP, Window], committed: Mapping[TP, int]) -> dict[TP, tuple[int, str]]:
        """
        Give the offset to commit of each partition, and the note of where a restart must begin to read the tables' topics.

        Where nothing has come yet, what was `committed` stays, but its note may become another one.
        """
        quiet = {tp: at for tp, at in committed.items() if tp.topic == self._source and tp not in windows}
        return {tp: (at, self._note(tp)) for tp, at in quiet.items()} | {
            tp: (min(window.head, counted), self._note(tp))
            for tp, window in windows.items()
            if (counted := self._counted.get(window)) is not None
        }

    def _note(self, tp: TP) -> str:
        if tp.topic != self._source:
            return ""
        return Note(self._usage.of[tp.partition].floor(), self._ordered.floor(tp.partition)).text()

    async def write(self, windows: Mapping[TP, Window]) -> None:
        """Write every count that changed and wait until Kafka has them all."""
        covered = {window: window.next for window in windows.values()}
        writing = _Writing(self._outbox, self._usage_topic)
        for tp in windows:
            if tp.topic == self._source:
                writing.send(tp.partition, self._usage.of[tp.partition])
        await writing.done()
        self._counted = covered

    def committed(self, offsets: Mapping[TP, int]) -> None:
        """Forget the counts that are closed and covered."""
        for tp, offset in offsets.items():
            if tp.topic == self._source:
                self._usage.of[tp.partition].close(offset)


class _Writing:
    """One round of records, and the moment when all of them are confirmed."""

    def __init__(self, outbox: Outbox, topic: str) -> None:
        self._outbox, self._topic = outbox, topic
        self._pending = 0
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, partition: int, usage: PartitionUsage) -> None:
        for key, count in usage.take():
            value = orjson.dumps({"events": count.events, "applied": count.applied})
            self._pending += 1
            self._outbox.send(Record(self._topic, record_key(partition, key), value, [], partition), self._report(usage, key))

    def _report(self, usage: PartitionUsage, key: UsageKey) -> Any:
        def confirmed(error: Any, message: Any) -> None:
            if error is not None:
                doubt("a usage count could not be delivered", error=error.str())
            usage.written(key, message.offset())
            self._pending -= 1
            if not self._pending and not self._all.done():
                self._all.set_result(None)

        return confirmed

    async def done(self) -> None:
        if self._pending:
            await self._all
