# SPDX-License-Identifier: Apache-2.0
"""
What processes keep of their keys: a Faust table per state, over a topic whose records are awaited with an execution's results.

A record's key ends with a version, and the highest counts: a worker that was paused and writes late changes nothing. It also
carries the record of the execution that it came from: whoever recovers writes that down instead of running the event twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from faust.types import TP

from bridge import logs, topics
from bridge.kafka.scan import Scan
from bridge.redis.projection import Projection
from bridge.sdk.state import NO_STATE, State
from bridge.settings import Settings
from bridge.topics import Topic
from processors.clock import now_ms
from processors.ending import doubt
from processors.stream.outbox import Outbox, Record
from processors.tables.kept import MARKS, NOTHING, REPLAYS, Empty, Kept, Mark
from processors.tables.record_tables import RecordTable

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

APPLIED, STORED, EXECUTION_ID, EXECUTION = "applied", "stored", "execution_id", "execution"
REPLAY, ATTEMPT, EARLIER = "replay", "attempt", "earlier"
"""
Headers: the last event that was applied, by its offset and its time; the execution that wrote this, by its id, its record,
whether it is a replay, and its attempt; and the marks of earlier ones.
"""

READ_S: Final = 0.2

LOG = logs.get("processors.states")


class StateTable(RecordTable):
    """
    One state: everything that is kept of the keys of this worker's partitions, in memory.

    A partition that stays ours is not read again from its beginning: `next` says how far its topic is known. `news` are the keys
    that have changed and that somebody who watches the table has not seen yet; without one None. `empty` are keys of which
    nothing is kept any more, about in the order of time: `processors.background.forgetting` lets go of them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: defaultdict[int, dict[bytes, Kept]] = defaultdict(dict)
        self.next: dict[int, int] = {}
        self.news: dict[tuple[int, bytes], None] | None = None
        self.changed = asyncio.Event()
        self.empty = deque[Empty]()

    def recover(self, record: Any) -> None:
        self.next[record.partition] = record.offset + 1
        key, _, number = (record.key or b"").rpartition(b"/")
        if not number.isdigit():
            return
        of, version = self.kept[record.partition], int(number)
        known = of.get(key, NOTHING)
        if record.value is None:
            self.let_go(record.partition, key, version)
        elif version < known.version:
            of[key] = known._replace(stale=(*known.stale, version))
        else:
            headers = dict(record.headers)
            stale = (*known.stale, known.version) if 0 < known.version < version else known.stale
            own = Mark(headers[EXECUTION_ID].decode(), record.offset, headers[REPLAY] == b"1", int(headers.get(ATTEMPT, b"1")))
            marks = (*(Mark(*one) for one in orjson.loads(headers[EARLIER])), own)
            of[key] = Kept(version, record.value, int(headers[APPLIED]), int(headers[STORED]), marks, stale)
            self.tell(record.partition, key, now_ms())

    def let_go(self, partition: int, key: bytes, version: int) -> None:
        """Take note of the tombstone of a version."""
        known = self.kept[partition].get(key)
        if known is not None and known.version == version and not known.value:
            del self.kept[partition][key]
        elif known is not None:
            self.kept[partition][key] = known._replace(stale=tuple(one for one in known.stale if one != version))

    def tell(self, partition: int, key: bytes, now_ms: int) -> None:
        """Tell who watches that a key has changed."""
        kept = self.kept[partition][key]
        if not kept.value:
            self.empty.append(Empty(now_ms, partition, key, kept.version))
        if self.news is not None:
            self.news[partition, key] = None
            self.changed.set()

    def wrote(self, message: Any) -> None:
        """Take note of a record of our own; where somebody else has written before it, that is still to be read."""
        if message.offset() == self.next.get(message.partition(), 0):
            self.next[message.partition()] = message.offset() + 1

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

    def __init__(self, settings: Settings, tables: Mapping[str, StateTable], outbox: Outbox, projection: Projection) -> None:
        self._settings, self._prefix = settings, f"{settings.topic_prefix}."
        self._tables, self._outbox, self._projection = tables, outbox, projection

    def of(self, attempt: Attempt) -> State:
        """Give what an attempt's process keeps of its event's key."""
        return State(self._kept(attempt).value) if attempt.process.state else NO_STATE

    def applied(self, attempt: Attempt) -> bool:
        """Say whether this attempt, a later one, or an event that was to follow its own has changed the state before."""
        kept, record = self._kept(attempt), attempt.given.record
        if (mark := kept.mark(attempt.execution_id)) is not None:
            return mark.attempt >= attempt.number
        if attempt.journeys_ended:
            return False  # nobody may pass over a message whose journeys have ended, whatever is remembered of it
        return not _replays(attempt) and kept.again(record.offset, record.timestamp)

    async def recorded(self, attempt: Attempt) -> bytes | None:
        """
        Give the record of an applied execution, from Kafka; None where it was written before what followed it.

        Raises: BrokerUnavailable.
        """
        mark = self._kept(attempt).mark(attempt.execution_id)
        if mark is None:
            return None
        return await asyncio.to_thread(self._read, topics.state(attempt.process.state), attempt.given.record.partition, mark.at)

    def _read(self, topic: Topic, partition: int, at: int) -> bytes | None:
        within = {(topic.name(self._settings), partition): (at, at + 1)}
        with Scan(self._settings, (topic,), within=within) as scan:
            while not scan.done:
                for message in scan.read(1, READ_S):
                    value = dict(message.headers() or []).get(EXECUTION)
                    return value if isinstance(value, bytes) else None
        LOG.warning("the record of an execution is not there any more", topic=topic.suffix, partition=partition, offset=at)
        return None

    def tell(self, attempt: Attempt) -> None:
        """Tell the view what is kept of an attempt's key: who wrote it may have died before that."""
        kept = self._kept(attempt)
        if kept.version:
            self._projection.kept(attempt.process.state, attempt.lane.key, kept.version, kept.value)

    def write(self, attempt: Attempt, value: bytes, execution: bytes, then: Callable[[], None]) -> None:
        """Keep another value; `then` is called once Kafka has it."""
        before, record, replay = self._kept(attempt), attempt.given.record, _replays(attempt)
        others = tuple(mark for mark in before.marks if mark.execution_id != attempt.execution_id)
        applied, stored_ms, earlier = before.applied, before.stored_ms, others[1 - MARKS :]
        if not replay and record.offset != applied:
            applied, earlier = record.offset, tuple(mark for mark in others if mark.replay)[-REPLAYS:]
        if not replay:
            stored_ms = max(stored_ms, record.timestamp)
        # A key of which nothing is known begins above whatever it had before it was forgotten.
        after = Kept((before.version or record.timestamp) + 1, value, applied, stored_ms, earlier)
        headers = [
            (APPLIED, b"%d" % applied),
            (STORED, b"%d" % stored_ms),
            (EXECUTION_ID, attempt.execution_id.encode()),
            (EXECUTION, execution),
            (REPLAY, b"%d" % replay),
            (ATTEMPT, b"%d" % attempt.number),
            (EARLIER, orjson.dumps([[*mark] for mark in earlier])),
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
        own = Mark(attempt.execution_id, message.offset(), _replays(attempt), attempt.number)
        table.kept[partition][attempt.lane.key] = after._replace(marks=(*after.marks, own))
        table.wrote(message)
        table.tell(partition, attempt.lane.key, message.timestamp()[1])
        for version in filter(None, (*before.stale, before.version)):
            self._outbox.send(self._record(attempt, version, None, []), partial(_removed, table))
        then()

    def _kept(self, attempt: Attempt) -> Kept:
        return self._tables[attempt.process.state].kept[attempt.given.record.partition].get(attempt.lane.key, NOTHING)

    def _record(self, attempt: Attempt, version: int, value: bytes | None, headers: list[tuple[str, bytes]]) -> Record:
        key = attempt.lane.key + b"/%d" % version
        return Record(self._prefix + attempt.process.state, key, value, headers, attempt.given.record.partition)


def _replays(attempt: Attempt) -> bool:
    """Say whether an attempt is one of a replay, whose event's offset is an old one."""
    return attempt.given.redelivery is not None and attempt.given.redelivery.belated


def _removed(table: StateTable, error: Any, message: Any) -> None:
    if error is None:
        table.wrote(message)
    else:
        LOG.warning("a superseded state could not be removed", key=str(message and message.key()), reason=error.str())
