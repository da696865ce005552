# SPDX-License-Identifier: Apache-2.0
"""
The worker's state as Faust tables over topics whose records are awaited anyway: `executions` and `usage`.

Writing a record is the router's work; a table only remembers it, so a table costs no second record. Recovery gives a table the
tail of its topic in batches. One writer per partition: whoever reads the partition of events.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import faust
import orjson
from faust.types import TP

from bridge.domain.execution import Status
from processors.tables.counting import PartitionUsage, UsageKey
from processors.tables.digests import Digests, digest, of_attempt
from processors.tables.ordered import OFFSET, Ordered

REMEMBER_MS = 3_600_000
FAILED_BUCKETS = 8_192  # 120,000 failed attempts in each generation's time
FINAL = frozenset(status.value.encode() for status in Status if status.final)


class Recovered:
    """
    The newest execution records that a recovery has read: the worker before may have died before it told the view of them.

    `most` and `most_bytes` bound it, and the oldest go first: only what was not committed is read again and can be asked for,
    which is what a worker finishes within a second or two.
    """

    def __init__(self, most: int = 10_000, most_bytes: int = 8 * 1024 * 1024) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._records: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._bytes = 0

    def add(self, execution_id: str, offset: int, value: bytes) -> None:
        """Keep an execution's record."""
        self.take(execution_id)
        self._records[execution_id] = offset, value
        self._bytes += len(value)
        while len(self._records) > self._most or self._bytes > self._most_bytes:
            self._bytes -= len(self._records.popitem(last=False)[1][1])

    def take(self, execution_id: str) -> tuple[int, bytes] | None:
        """Give an execution's last record, its offset and its value, and keep it no longer."""
        if (found := self._records.pop(execution_id, None)) is not None:
            self._bytes -= len(found[1])
        return found


class RecordTable(faust.Table[bytes, bytes]):
    """A table whose changelog is a topic of ours: no stock writing, no stock reading."""

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module

    def on_key_set(self, key: Any, value: Any) -> None:
        """Write nothing: the record is the change."""

    def on_key_del(self, key: Any) -> None:
        """Write nothing."""

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        for event in batch:
            for record in event.value:
                self.recover(record)

    def recover(self, record: Any) -> None:
        """Take one record of the topic in."""
        raise NotImplementedError

    async def begin_at(self, consumer: Any, partitions: set[TP]) -> Mapping[TP, int | None]:
        """Say where recovery has to begin to read each partition of the topic, after `on_rebalance`; None: at its end."""
        raise NotImplementedError


class ExecutionsTable(RecordTable):
    """
    Which executions, and which attempts of unfinished ones, ended within the last hour, by their records' own time.

    `ordered` are the open ones of the ordered processes that this worker runs (`runs` says which), however long they wait: of
    another lane's it would never see the end.
    """

    def __init__(self, *args: Any, source: str, runs: Callable[[str], bool], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.finished, self.failed = Digests(), Digests(FAILED_BUCKETS)
        self.ordered = Ordered()
        self.recovered = Recovered()
        self._source, self._runs = source, runs
        self._read: dict[int, int] = {}
        """Up to where each partition that stays here has been read: of what is older, no end is unknown."""

    @property
    def size(self) -> int:
        """The bytes of what is remembered."""
        return self.finished.size + self.failed.size

    def is_past(self, execution_id: str, attempt: int) -> bool:
        """Say whether the execution had a final record, or this attempt of it a pending one, within the last hour."""
        key = digest(execution_id)
        return key in self.finished or of_attempt(key, attempt) in self.failed

    def remember(self, execution_id: str, attempt: int, time_ms: int, *, final: bool) -> None:
        """Remember an attempt whose record is confirmed."""
        key = digest(execution_id)
        if final:
            self.finished.add(key, time_ms)
        else:
            self.failed.add(of_attempt(key, attempt), time_ms)

    def recover(self, record: Any) -> None:
        self._read[record.partition] = record.offset + 1
        headers = dict(record.headers)
        status, attempt = headers.get("status"), headers.get("attempt", b"")
        if record.key and (status in FINAL or attempt.isdigit()):
            execution_id = record.key.decode()
            self.remember(execution_id, int(attempt or 0), record.timestamp, final=status in FINAL)
            self.recovered.add(execution_id, record.offset, record.value or b"")
            if status in FINAL:
                self.ordered.end(execution_id)  # also where what ended it keeps no order: a process that is not there any more
            if OFFSET in headers and self._runs(headers["process"].decode()):
                self.ordered.recover(headers, execution_id, record.partition, record.offset, record.timestamp)

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget who is open: the partitions that are ours are recovered, the others may have moved on elsewhere."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        self.ordered.clear()
        ours = {tp.partition for tp in assigned if tp.topic == self.changelog_topic_name}
        for partition in self._read.keys() - ours:
            del self._read[partition]

    async def begin_at(self, consumer: Any, partitions: set[TP]) -> Mapping[TP, int | None]:
        """Begin with the last hour, or where our knowledge of its ends stops, but for all that is open: that is read again."""
        since = int(time.time() * 1000) - REMEMBER_MS
        starts: dict[TP, int | None] = await consumer._thread.offsets_since(dict.fromkeys(partitions, since))
        notes = await notes_of(consumer, self._source, partitions)
        for tp in partitions:
            start, floor = starts.get(tp), notes[tp].executions
            if start is not None:
                start = max(start, self._read.get(tp.partition, 0))
            starts[tp] = min((at for at in (start, floor) if at is not None), default=None)
        return starts


class UsageTable(RecordTable):
    """Events per tenant and minute, one count per partition."""

    def __init__(self, *args: Any, source: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.of: defaultdict[int, PartitionUsage] = defaultdict(PartitionUsage)
        self._source = source

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget everything: the records that were not committed are read and counted again."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        self.of.clear()

    def recover(self, record: Any) -> None:
        if record.key and record.value:
            value = orjson.loads(record.value)
            key = parse_key(record.key)
            self.of[record.partition].restore(key, value["events"], value["applied"], record.offset)

    async def begin_at(self, consumer: Any, partitions: set[TP]) -> Mapping[TP, int | None]:
        """Begin where the commit's note says that open counts begin; without one at the start of the topic."""
        return {tp: note.usage for tp, note in (await notes_of(consumer, self._source, partitions)).items()}


class Note(NamedTuple):
    """What is committed with an offset of the lane's first topic: where a restart must begin to read the tables' topics."""

    usage: int = 0
    executions: int | None = None

    def text(self) -> str:
        return str(self.usage) if self.executions is None else f"{self.usage},{self.executions}"

    @classmethod
    def read(cls, text: str) -> Note:
        """Read a note. Raises: ValueError where it is not ours."""
        usage, _, executions = text.partition(",")
        return cls(int(usage or 0), int(executions) if executions else None)


async def notes_of(consumer: Any, source: str, partitions: Iterable[TP]) -> dict[TP, Note]:
    """Read the notes of the same partition numbers of the lane's first topic; an empty one where nothing was committed."""
    noted = {TP(source, tp.partition): tp for tp in partitions}
    notes = await consumer._thread.notes_of(noted)
    return {own: Note.read(notes.get(tp) or "") for tp, own in noted.items()}


def record_key(partition: int, key: UsageKey) -> bytes:
    """Give the key of a usage record: `<partition>/<tenant>/<minute>`, and `/<offset>` for a late event."""
    late = f"/{key.late}" if key.late >= 0 else ""
    return f"{partition}/{key.tenant}/{key.minute}{late}".encode()


def parse_key(raw: bytes) -> UsageKey:
    """Read a usage record's key. Raises: ValueError where it is not one."""
    parts = raw.decode().split("/")
    return UsageKey(parts[1], int(parts[2]), int(parts[3]) if len(parts) > 3 else -1)
