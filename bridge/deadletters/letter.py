# SPDX-License-Identifier: Apache-2.0
"""One dead letter: what its record says, and the records that a replay or a purge of it writes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Message

from bridge import redeliveries
from bridge.domain import ids
from bridge.domain.execution import Position
from bridge.domain.redelivery import Redelivery, Try
from bridge.kafka.paced import Record
from bridge.settings import Settings
from bridge.topics import DEAD_LETTERS, REDELIVERIES

PREFIX: Final = "dl_"
REPLAYS, REPLAYED_AS, REPLAYED_AT = "dl_replays", "dl_replayed_as", "dl_replayed_at"
MARKS: Final = (REPLAYS, REPLAYED_AS, REPLAYED_AT)
_TRIES = msgspec.json.Decoder(tuple[Try, ...])

Headers = list[tuple[str, bytes]]


class Letter:
    """
    A dead letter as it lies in Kafka; what is missing or unreadable in it reads as an empty text or 0.

    `key` is the id of the execution that failed, or the position of a record that no process got to see. A mark keeps the
    letter's own time `died_ms`, in milliseconds.
    """

    __slots__ = ("_named", "data", "died_ms", "headers", "key", "offset", "partition")

    def __init__(self, message: Message) -> None:
        self.key = (message.key() or b"").decode(errors="replace")
        self.partition, self.offset = message.partition() or 0, message.offset() or 0
        self.died_ms = message.timestamp()[1]
        given: Any = message.headers() or ()
        self.headers: Headers = list(given)
        self.data = message.value() or b""
        self._named = dict(self.headers)  # where a name comes twice the last one counts, and the worker's own come last

    def text(self, name: str) -> str:
        """Give a header as text."""
        return (self._named.get(name) or b"").decode(errors="replace")

    def number(self, name: str) -> int:
        """Give a header as a whole number."""
        value = self._named.get(name) or b""
        return int(value) if value.isdigit() and len(value) < 14 else 0

    @property
    def tenant(self) -> str:
        """Whose event it is; nobody's where the record does not say it in one way."""
        given = [value or b"" for name, value in self.headers if name == "ce_tenantid"]
        return given[0].decode(errors="replace") if len(given) == 1 else ""

    @property
    def process(self) -> str:
        """The process that failed; empty where none got to see the event."""
        return self.text("dl_process")

    @property
    def code(self) -> str:
        """The reason's code."""
        return self.text("dl_code")

    @property
    def position(self) -> Position:
        """Where the event's own record lay."""
        return Position(self.text("dl_topic"), self.number("dl_partition"), self.number("dl_offset"))

    @property
    def tries(self) -> Sequence[Try]:
        """The attempts that were made, oldest first."""
        try:
            return _TRIES.decode(self._named.get("dl_tries") or b"[]")
        except ValueError:
            return ()

    def replay_as(self, replays: int) -> str:
        """Name the execution that a replay begins, after `replays` earlier ones."""
        return ids.execution_id(self.text("ce_eventkey"), self.process, ids.letter_replay(self.key, replays))

    def own_headers(self) -> Headers:
        """Give the headers that the event's own record had."""
        return [(name, value) for name, value in self.headers if not name.startswith(PREFIX)]

    def redelivery(self, settings: Settings, replays: int) -> Record:
        """Give the record that lets its one process have the event again, as a new execution that names this one."""
        place = self.position
        again = Redelivery(
            process=self.process,
            execution_id=self.replay_as(replays),
            attempt=1,
            due_ms=0,
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            received_ms=self.number("dl_received"),
            belated=True,
            replayed_from=self.key,
        )
        headers = redeliveries.headers_of(self.own_headers(), again)
        return Record(REDELIVERIES.name(settings), self.partition, self._named.get("dl_key") or None, self.data, headers)

    def mark(self, settings: Settings, replays: int, now_ms: int) -> Record:
        """Give the letter once more, with the note that it was replayed one time more than `replays`."""
        headers = [(name, value) for name, value in self.headers if name not in MARKS]
        headers += [
            (REPLAYS, b"%d" % (replays + 1)),
            (REPLAYED_AS, self.replay_as(replays).encode()),
            (REPLAYED_AT, b"%d" % now_ms),
        ]
        return Record(DEAD_LETTERS.name(settings), self.partition, self.key.encode(), self.data, headers, self.died_ms)


def tombstone(settings: Settings, key: str, partition: int) -> Record:
    """Give the record that lets a letter go."""
    return Record(DEAD_LETTERS.name(settings), partition, key.encode(), None, [])
