# SPDX-License-Identifier: Apache-2.0
"""
From records to what the live view says of them. Pure; used by `bridge.view.rebuild`.

It writes what the intake and the projection would have written, no more: so a rebuilt view equals the lost one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from confluent_kafka import Message

from bridge import redeliveries
from bridge.claims.rows import listed, row_of
from bridge.cloudevents.kafka import event_of
from bridge.domain.errors import InvalidEvent
from bridge.domain.view import waiting
from bridge.executions import encode
from bridge.ingress import rows
from bridge.notifications.deliveries import SOURCE, WEBHOOK
from bridge.redis import operations
from bridge.redis.keys import Keys
from bridge.redis.operations import Operation
from bridge.settings import Settings
from bridge.summaries import summarise
from bridge.topics import EVENTS, EXECUTIONS, lane

Expect = Callable[[str, str], Sequence[str]]
"""(tenant, event type) -> the processes that will probably want such an event."""


def nothing_expected(_tenant: str, _event_type: str) -> Sequence[str]:
    """Expect nothing: events that the router has not reached are then shown without executions until it does."""
    return ()


class Names(msgspec.Struct):
    """The members of an execution's record that lead to it."""

    execution_id: str
    tenant: str
    correlation_id: str
    process: str
    event_source: str


class Restoring:
    """Counts what it saw. `passed` says up to where the router has finished, by partition of the events."""

    def __init__(self, settings: Settings, passed: Mapping[int, int], expect: Expect, now_s: float) -> None:
        self._keys = Keys(settings.topic_prefix)
        self._keep_s = settings.retention_hours * 3600
        self._mortal = {EVENTS.name(settings): self._event, EXECUTIONS.name(settings): self._execution}
        self._prefix = f"{settings.topic_prefix}."
        self._lanes = lane("").name(settings)
        self._passed, self._expect, self._now_s = passed, expect, now_s
        self._names = msgspec.json.Decoder(Names)
        self.events = self.executions = self.unreadable = 0

    def operations_of(self, message: Message) -> list[Operation]:
        """
        Say what a record of `events`, `executions`, a lane or a state means for the view; what nobody can read means nothing.

        The worker has set such a record aside with its reason, so it is only counted here.
        """
        topic = message.topic() or ""
        forget_s = message.timestamp()[1] // 1000 + self._keep_s
        mortal = self._mortal.get(topic) or (self._waiting if topic.startswith(self._lanes) else None)
        try:
            if mortal is None:
                return self._state(message)
            return mortal(message, forget_s) if forget_s > self._now_s else []
        except (InvalidEvent, KeyError, ValueError):
            self.unreadable += 1
            return []

    def _event(self, message: Message, forget_s: int) -> list[Operation]:
        event = event_of(message.headers(), message.value())  # type: ignore[arg-type]  # headers come as pairs, values as bytes
        summary = summarise(event, message.timestamp()[1])
        partition, offset = message.partition() or 0, message.offset() or 0
        found = [operations.stored(self._keys, summary, partition, offset, forget_s)]
        if (row := row_of(event, message.timestamp()[1])) is not None:
            found.append(listed(self._keys, event, row, self._keep_s))
        if (sent := rows.listed(self._keys, event, summary.accepted_ms, self._keep_s)) is not None:
            found.append(sent)
        self.events += 1
        if offset >= self._passed.get(partition, 0) and not summary.causation_id:
            for process in self._expect(summary.tenant, summary.type):
                found.append(operations.expected(self._keys, summary, process, forget_s))
        return found

    def _execution(self, message: Message, forget_s: int) -> list[Operation]:
        value = message.value()
        if value is None:  # a tombstone: compaction will remove the record that it follows
            return []
        names = self._names.decode(value)
        self.executions += 1
        offset = message.offset() or 0
        found = [operations.recorded(self._keys, names.tenant, names.execution_id, names.correlation_id, offset, value, forget_s)]
        if names.process == WEBHOOK:
            webhook, at_ms = names.event_source.removeprefix(SOURCE), message.timestamp()[1]
            found.append(operations.posted(self._keys, names.tenant, webhook, names.execution_id, at_ms, forget_s))
        return found

    def _waiting(self, message: Message, forget_s: int) -> list[Operation]:
        headers: Any = message.headers()
        again = redeliveries.redelivery_of(headers)
        event = event_of(redeliveries.own_headers(headers), message.value())
        execution = waiting(summarise(event, again.received_ms), again, message.partition() or 0)
        return [operations.begun(self._keys, execution, encode(execution), forget_s)]

    def _state(self, message: Message) -> list[Operation]:
        value = message.value()
        if value is None:
            return []
        tenant, _, rest = (message.key() or b"").decode().partition("/")
        key, _, version = rest.rpartition("/")
        state = (message.topic() or "").removeprefix(self._prefix)
        return [operations.kept(self._keys, state, tenant, key, int(version), value)]
