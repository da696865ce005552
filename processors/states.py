# SPDX-License-Identifier: Apache-2.0
"""
What processes keep of their keys: a Faust table per state, over a topic whose records are awaited with an execution's results.

A record's key ends with a version, and the highest counts: a worker that was paused and writes late changes nothing. It also
carries the record of the execution that it came from: whoever recovers writes that down instead of running the event twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from faust.types import TP

from bridge import logs
from bridge.redis.projection import Projection
from bridge.sdk.state import NO_STATE, State
from processors.ending import doubt
from processors.outbox import Outbox, Record
from processors.tables import RecordTable, Recovered

if TYPE_CHECKING:
    from processors.attempt import Attempt

APPLIED, STORED, EXECUTION_ID, EXECUTION = "applied", "stored", "execution_id", "execution"
"""Headers: the last event that was applied, by its offset and its time, and the execution, by its id and by its record."""

LOG = logs.get("processors.states")


class Kept(NamedTuple):
    """
    What is kept of a key; `value` is JSON, or nothing.

    `applied` and `stored_ms` are the highest offset and time of the events that it comes from, `execution_id` the last execution.
    `stale` are older versions that have no tombstone yet.
    """

    version: int = 0
    value: bytes = b""
    applied: int = -1
    stored_ms: int = 0
    execution_id: str = ""
    stale: tuple[int, ...] = ()


NOTHING = Kept()


class StateTable(RecordTable):
    """
    One state: everything that is kept of the keys of this worker's partitions, in memory.

    A partition that stays ours is not read again from its beginning: `next` says how far its topic is known. `news` are the keys
    that have changed and that somebody who watches the table has not seen yet; without one None.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: defaultdict[int, dict[bytes, Kept]] = defaultdict(dict)
        self.next: dict[int, int] = {}
        self.news: dict[tuple[int, bytes], None] | None = None
        self.changed = asyncio.Event()
        self.recovered = Recovered()

    def recover(self, record: Any) -> None:
        self.next[record.partition] = record.offset + 1
        key, _, number = (record.key or b"").rpartition(b"/")
        if not number.isdigit():
            return
        of, version = self.kept[record.partition], int(number)
        known = of.get(key, NOTHING)
        if record.value is None:
            of[key] = known._replace(stale=tuple(one for one in known.stale if one != version))
        elif version < known.version:
            of[key] = known._replace(stale=(*known.stale, version))
        else:
            headers = dict(record.headers)
            stale = (*known.stale, known.version) if 0 < known.version < version else known.stale
            name = headers[EXECUTION_ID].decode()
            of[key] = Kept(version, record.value, int(headers[APPLIED]), int(headers[STORED]), name, stale)
            self.recovered.add(name, record.offset, headers[EXECUTION])
            self.tell(record.partition, key)

    def tell(self, partition: int, key: bytes) -> None:
        """Tell who watches that a key has changed."""
        if self.news is not None:
            self.news[partition, key] = None
            self.changed.set()

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget the partitions that are not ours any more."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        ours = {tp.partition for tp in assigned if tp.topic == self.changelog_topic_name}
        for partition in self.next.keys() - ours:
            self.next.pop(partition)
            self.kept.pop(partition, None)

    async def begin_at(self, consumer: Any, partitions: set[TP]) -> Mapping[TP, int | None]:
        """Begin where our knowledge ends; at the start of the topic where there is none."""
        starts = await consumer.earliest_offsets(*partitions)
        return {tp: max(starts[tp], self.next.get(tp.partition, 0)) for tp in partitions}


class States:
    """One per worker: the tables of its processes' states, by their names."""

    def __init__(self, tables: Mapping[str, StateTable], outbox: Outbox, projection: Projection, prefix: str) -> None:
        self._tables, self._outbox, self._projection, self._prefix = tables, outbox, projection, prefix

    def of(self, attempt: Attempt) -> State:
        """Give what an attempt's process keeps of its event's key."""
        return State(self._kept(attempt).value) if attempt.process.state else NO_STATE

    def applied(self, attempt: Attempt) -> bool:
        """
        Say whether the event was applied before, by this execution or by an event that followed it.

        Offsets alone would not do: a topic that was deleted and made again counts from the beginning.
        """
        kept, record, again = self._kept(attempt), attempt.given.record, attempt.given.redelivery
        if again is not None and again.replayed_from:
            return kept.execution_id == attempt.execution_id
        return bool(record.offset <= kept.applied and record.timestamp <= kept.stored_ms)

    def recorded(self, attempt: Attempt) -> bytes | None:
        """Give the record of an applied execution; None where it was written before what followed it."""
        found = self._tables[attempt.process.state].recovered.take(attempt.execution_id)
        return found[1] if found else None

    def tell(self, attempt: Attempt) -> None:
        """Tell the view what is kept of an attempt's key: who wrote it may have died before that."""
        kept = self._kept(attempt)
        if kept.version:
            self._projection.kept(attempt.process.state, attempt.lane.key, kept.version, kept.value)

    def write(self, attempt: Attempt, value: bytes, execution: bytes, then: Callable[[], None]) -> None:
        """Keep another value; `then` is called once Kafka has it."""
        before, record, again = self._kept(attempt), attempt.given.record, attempt.given.redelivery
        applied, stored_ms = before.applied, before.stored_ms
        if again is None or not again.replayed_from:
            applied, stored_ms = max(applied, record.offset), max(stored_ms, record.timestamp)
        after = Kept(before.version + 1, value, applied, stored_ms, attempt.execution_id)
        headers = [
            (APPLIED, b"%d" % applied),
            (STORED, b"%d" % stored_ms),
            (EXECUTION_ID, attempt.execution_id.encode()),
            (EXECUTION, execution),
        ]
        sent = self._record(attempt, after.version, value, headers)
        self._outbox.send(sent, partial(self._written, attempt, before, after, then))

    def _written(self, attempt: Attempt, before: Kept, after: Kept, then: Callable[[], None], error: Any, message: Any) -> None:
        if error is not None:
            doubt("a state could not be delivered", error=error.str(), execution=attempt.execution_id)
        self._projection.kept(attempt.process.state, attempt.lane.key, after.version, after.value)
        if not attempt.window.alive:
            return  # whoever has the partition now finds what we wrote, and records the execution
        table, partition = self._tables[attempt.process.state], attempt.given.record.partition
        table.kept[partition][attempt.lane.key] = after
        table.next[partition] = max(table.next.get(partition, 0), message.offset() + 1)
        table.tell(partition, attempt.lane.key)
        for version in filter(None, (*before.stale, before.version)):
            self._outbox.send(self._record(attempt, version, None, []), _report_tombstone)
        then()

    def _kept(self, attempt: Attempt) -> Kept:
        return self._tables[attempt.process.state].kept[attempt.given.record.partition].get(attempt.lane.key, NOTHING)

    def _record(self, attempt: Attempt, version: int, value: bytes | None, headers: list[tuple[str, bytes]]) -> Record:
        key = attempt.lane.key + b"/%d" % version
        return Record(self._prefix + attempt.process.state, key, value, headers, attempt.given.record.partition)


def _report_tombstone(error: Any, message: Any) -> None:
    if error is not None:
        LOG.warning("a superseded state could not be removed", key=str(message and message.key()), reason=error.str())
