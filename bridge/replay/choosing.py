# SPDX-License-Identifier: Apache-2.0
"""
Which executions a replay begins: decided record by record, from what is known before it starts, so that the plan and the run
decide alike. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message

from bridge.cloudevents.kafka import event_of
from bridge.domain.errors import InvalidEvent
from bridge.domain.event import MAX_HOPS, Event
from bridge.domain.ids import event_replay, execution_id
from bridge.replay.asked import Asked, Mode
from bridge.replay.histories import Fate
from bridge.replay.sent import name_of
from bridge.view.expecting import Expectation


@dataclass(frozen=True, slots=True)
class Chosen:
    """One execution to begin; `replayed_from` is empty where it is the event's first one in that process."""

    process: str
    execution_id: str
    replayed_from: str


@dataclass(frozen=True, slots=True)
class Known:
    """
    What Kafka said before the plan was made.

    `passed` is the router's next offset by partition; `fates` is empty for `force`, and says nothing of what was taken before
    `floor_ms`; `sent` are the executions that a redelivery begins already, `copied` the positions that `to` has already.
    """

    passed: Mapping[int, int]
    fates: Mapping[bytes, Fate]
    floor_ms: int
    sent: Container[bytes]
    copied: Container[tuple[int, int]]
    expected: Expectation


class Chooser:
    """One per plan; `name` makes its executions its own."""

    def __init__(self, asked: Asked, name: str, known: Known) -> None:
        self._asked, self._name, self._known = asked, name, known

    def event(self, message: Message, skipped: Counter[str]) -> Event | None:
        """Read a record, and say why it is left out if it is one that filters mean."""
        taken_ms = message.timestamp()[1]
        if not self._asked.since_ms <= taken_ms < self._asked.until_ms:
            return None
        try:
            event = event_of(message.headers(), message.value())  # type: ignore[arg-type]  # librdkafka's header values are bytes
        except InvalidEvent:
            skipped["undecodable"] += 1
            return None
        if not self._asked.meant(event.tenant, event.type, taken_ms):
            return None
        if (why := self._hindrance(message, event, taken_ms)) is not None:
            skipped[why] += 1
            return None
        return event

    def _hindrance(self, message: Message, event: Event, taken_ms: int) -> str | None:
        if event.hops > MAX_HOPS:
            return "too-many-hops"
        if taken_ms < self._known.floor_ms:
            return "too-old"
        if (message.offset() or 0) >= self._known.passed.get(message.partition() or 0, 0):
            return "not-reached"  # the worker will come to it anyway
        return None

    def executions(self, message: Message, event: Event, skipped: Counter[str]) -> Sequence[Chosen]:
        """Give what to begin for an event, in the order of the processes' names."""
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        replay, chosen = event_replay(self._name, topic, partition, offset), []
        for process in self._known.expected(event.tenant, event.type):
            if self._asked.process not in ("", process):
                continue
            first = execution_id(event.key, process)
            new = first if self._asked.mode is Mode.UNPROCESSED else execution_id(event.key, process, replay)
            if (why := self._left_out(first, new)) is not None:
                skipped[why] += 1
            else:
                chosen.append(Chosen(process, new, "" if new == first else first))
        return chosen

    def copies(self, message: Message, event: Event, skipped: Counter[str]) -> bool:
        """Say whether an event is to be copied: forced, or because one of its executions is chosen."""
        if (message.partition(), message.offset()) in self._known.copied:
            skipped["sent"] += 1
            return False
        if self._asked.mode is Mode.FORCE and not self._asked.process:
            return True
        return bool(self.executions(message, event, skipped))

    def _left_out(self, first: str, new: str) -> str | None:
        if name_of(new) in self._known.sent:
            return "sent"
        if self._asked.mode is Mode.FORCE:
            return None
        fate = self._known.fates.get(name_of(first))
        if fate is Fate.WAITING:
            return "waiting"
        if self._asked.mode is Mode.FAILED_ONLY:
            return None if fate is Fate.FAILED else "not-failed"
        return None if fate is None else "processed"
