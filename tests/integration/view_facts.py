# SPDX-License-Identifier: Apache-2.0
"""Events and executions as the product makes them, and their way into Kafka and the view: for the tests of the live view."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import redis
from confluent_kafka import KafkaError, Message, Producer

from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, ResultRef, Status
from bridge.domain.ids import event_key, execution_id, result_id
from bridge.executions import encode
from bridge.kafka.client import producing
from bridge.redis.gate import Entrant, Gate
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.topics import EVENTS, EXECUTIONS

T = TypeVar("T")


def make_event(number: int, tenant: str = "acme", correlation_id: str = "", **attributes: str) -> Event:
    """An accepted event whose producer gave it an id."""
    source, name, type_, data = "/test", f"id-{number}", "test.happened", b'{"n":%d}' % number
    key = event_key(tenant, source, name, type_, "application/json", data)
    given = {"specversion": "1.0", "id": name, "source": source, "type": type_, "datacontenttype": "application/json"}
    return Event(given | attributes | {"tenantid": tenant, "eventkey": key, "correlationid": correlation_id or key}, data)


def make_execution(
    event: Event, position: Position, status: Status = Status.COMPLETED, attempt: int = 1, **values: Any
) -> Execution:
    """What a process named `record` made of the event."""
    name = execution_id(event.key, values.get("process", "record"))
    made = Execution(
        execution_id=name,
        event_key=event.key,
        tenant=event.tenant,
        correlation_id=event.correlation_id,
        event_id=event.id,
        event_source=event.source,
        event_type=event.type,
        process="record",
        version="1.0.0",
        status=status,
        attempt=attempt,
        received_ms=1_700_000_000_000,
        started_ms=1_700_000_000_010,
        finished_ms=1_700_000_000_020 if status.final else None,
        event_position=position,
        data='{"said":"hello"}',
        results=(ResultRef(result_id(name, 0), "test.made", "results", position.partition, 7),) if status.final else (),
    )
    return replace(made, **values)


def ms_now() -> int:
    """The time, as records carry it."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Stored:
    """An event and where its record lies."""

    event: Event
    position: Position
    accepted_ms: int


class Log:
    """Kafka, as the intake and the worker leave it behind."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(producing(settings, linger_ms=5, timeout_s=10))
        self._faults: list[str] = []

    def events(self, events: list[Event]) -> list[Stored]:
        """Store events; gives them in the order given, once Kafka has confirmed all."""
        found: dict[int, Stored] = {}
        for number, event in enumerate(events):
            now = ms_now()

            def report(
                error: KafkaError | None, message: Message, number: int = number, event: Event = event, now: int = now
            ) -> None:
                if error is not None:
                    self._faults.append(error.str())
                    return
                position = Position(EVENTS.name(self._settings), message.partition() or 0, message.offset() or 0)
                found[number] = Stored(event, position, now)

            self._send(EVENTS.name(self._settings), event.data, record_key(event), headers_of(event), now, report)
        self._flush()
        return [found[number] for number in range(len(events))]

    def event_at(self, event: Event, ms: int) -> None:
        """Store one event with a record of this time."""

        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._faults.append(error.str())

        self._send(EVENTS.name(self._settings), event.data, record_key(event), headers_of(event), ms, report)
        self._flush()

    def executions(self, executions: list[Execution]) -> list[int]:
        """Store execution records in their events' partitions; gives their offsets."""
        offsets: dict[int, int] = {}
        for number, execution in enumerate(executions):

            def report(error: KafkaError | None, message: Message, number: int = number) -> None:
                if error is not None:
                    self._faults.append(error.str())
                    return
                offsets[number] = message.offset() or 0

            topic, partition = EXECUTIONS.name(self._settings), execution.event_position.partition
            self._send(topic, encode(execution), execution.execution_id.encode(), [], ms_now(), report, partition)
        self._flush()
        return [offsets[number] for number in range(len(executions))]

    def _send(self, topic: str, value: bytes, key: bytes, headers: Any, now: int, report: Any, partition: int = -1) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=report, timestamp=now, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _flush(self) -> None:
        assert self._producer.flush(20) == 0
        assert not self._faults, self._faults


class Door:
    """The intake's part of the view: reservations and confirmations by its own scripts."""

    def __init__(self, pipe: Pipe, settings: Settings) -> None:
        self._gate = Gate(pipe, settings)

    async def reserve(self, event: Event, accepted_ms: int, expected: tuple[str, ...] = ("record",)) -> Entrant:
        """Let one event in."""
        entrant = Entrant(event, event.id == event.key, accepted_ms, expected)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._gate.ask(event.tenant, (), [entrant], "o", answered.set_result)
        verdict = await answered
        if isinstance(verdict, Exception):
            raise verdict
        return entrant

    async def confirm(self, entrant: Entrant, position: Position) -> int:
        """Say where Kafka has it; gives how many events the view does not know any more."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._gate.settle([(entrant, "o", f"{position.partition}:{position.offset}")], answered.set_result)
        missing: int = await answered
        return missing

    async def accept(self, stored: Stored, expected: tuple[str, ...] = ("record",)) -> None:
        """Do both."""
        await self.confirm(await self.reserve(stored.event, stored.accepted_ms, expected), stored.position)


def everything(outside: redis.Redis, settings: Settings) -> dict[str, object]:
    """What the view says: every key but those that say how it came about, with what it holds."""
    found: dict[str, object] = {}
    keys = Keys(settings.topic_prefix)
    hidden = {keys.epoch, keys.holes, keys.rebuild}
    for kind, read in (("string", "get"), ("hash", "hgetall"), ("set", "smembers")):
        names = {n for n in outside.scan_iter(f"{keys.prefix}:*", 1000, kind) if n not in hidden and not n.endswith(":rate")}
        for some in chunks(sorted(names), 1000):
            with outside.pipeline(transaction=False) as pipeline:
                for name in some:
                    getattr(pipeline, read)(name)
                found |= zip(some, pipeline.execute(), strict=True)
    return {name: _lasting(value) for name, value in found.items()}


def _lasting(value: object) -> object:
    """Leave out of a summary when it was reserved."""
    return {field: text for field, text in value.items() if field != "r"} if isinstance(value, dict) else value


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Give the items in groups of `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def until(condition: Callable[[], Awaitable[Any]], timeout_s: float = 15) -> Any:
    """Wait until a condition holds; gives what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (found := await condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)
    return found
