# SPDX-License-Identifier: Apache-2.0
"""
One admitted request on its way into Kafka: every record sent, every report awaited, Redis told.

Made by `bridge.intake` for each request. It runs on callbacks, not in the caller's task, so it goes on when the caller has
left: reservation and record always agree in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message

from bridge import logs
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.errors import BridgeError, BrokerUnavailable, Quota, TooLarge
from bridge.domain.limits import RECORD_BYTES
from bridge.intake.breaker import Breaker
from bridge.kafka.producer import LoopProducer
from bridge.kafka.reports import IMPLIED
from bridge.redis.gate import Entrant
from bridge.redis.settlement import Settlement

LOG = logs.get("bridge.intake")

Entry = tuple[tuple[bytes | None, ...], tuple[Quota, ...]]
"""What was known of each event before (None: it is new and Kafka has it now), and what is left of the rate windows."""


UNSURE = frozenset(
    {KafkaError._MSG_TIMED_OUT, KafkaError.REQUEST_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._TRANSPORT, IMPLIED.code()}
)
"""After these nobody knows whether Kafka has the record; the view was told that it has not."""


class Road:
    """What every admission of a process shares."""

    __slots__ = ("_failing", "_unsure", "breaker", "loop", "producer", "settlement", "topic")

    def __init__(
        self, topic: str, producer: LoopProducer, settlement: Settlement, breaker: Breaker, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.topic, self.producer, self.settlement, self.breaker, self.loop = topic, producer, settlement, breaker, loop
        self._failing = self._unsure = False

    def reported(self, error: KafkaError | None) -> None:
        """Take note of one report; the log gets the first failure and the first success after it."""
        failed = error is not None
        self.breaker.reported(not failed, self.loop.time())
        if error is not None:
            self._unsure |= error.code() in UNSURE
        elif self._unsure:
            self._unsure = False
            self.settlement.missed("Kafka may have stored events that it did not confirm in time")
        if failed != self._failing:
            self._failing = failed
            if failed:
                LOG.warning("Kafka does not confirm events", error=str(error))
            else:
                LOG.info("Kafka confirms events again")


class Admission:
    """`entry` is settled once: when Kafka has every new event, with the first failure, or by `expire`."""

    __slots__ = ("_known", "_left", "_quotas", "_road", "entrants", "entry", "owner", "since")

    def __init__(self, road: Road, entrants: Sequence[Entrant], owner: str) -> None:
        self._road, self.entrants, self.owner = road, entrants, owner
        self.entry: asyncio.Future[Entry] = road.loop.create_future()
        self.since = road.loop.time()
        self._known: tuple[bytes | None, ...] = ()
        self._quotas: tuple[Quota, ...] = ()
        self._left = 0

    def refuse(self, error: Exception) -> None:
        """Settle with an error, unless it is settled or nobody waits any more."""
        if not self.entry.done():
            self.entry.set_exception(error)

    def send(self, known: tuple[bytes | None, ...], quotas: tuple[Quota, ...]) -> None:
        """Give Kafka every event that is not known yet."""
        self._known, self._quotas = known, quotas
        self._left = known.count(None)
        if not self._left:
            self._arrived()
            return
        for index, entrant in enumerate(self.entrants):
            if known[index] is None:
                try:
                    self._produce(entrant)
                except (BufferError, KafkaException) as err:
                    unsent = [self.entrants[at] for at in range(index, len(known)) if known[at] is None]
                    self._give_up(unsent, _why(err))
                    return

    def _produce(self, entrant: Entrant) -> None:
        road, event = self._road, entrant.event
        road.producer.send(
            road.topic,
            event.data,
            key=record_key(event),
            headers=headers_of(event),
            report=partial(self._reported, entrant),
            timestamp_ms=entrant.accepted_ms,
        )
        road.breaker.sent(road.loop.time())

    def _give_up(self, unsent: Sequence[Entrant], error: BridgeError) -> None:
        self._left = -1  # reports of the others are still to come, and still told to Redis
        self.refuse(error)
        for entrant in unsent:
            self._road.settlement.say((entrant, self.owner, ""))

    def _reported(self, entrant: Entrant, error: KafkaError | None, message: Message) -> None:
        road = self._road
        road.reported(error)
        if error is not None:
            self.refuse(_meaning(error))
            road.settlement.say((entrant, self.owner, ""))
            return
        road.settlement.say((entrant, self.owner, f"{message.partition()}:{message.offset()}"))
        self._left -= 1
        if self._left == 0:
            self._arrived()

    def _arrived(self) -> None:
        if not self.entry.done():
            self.entry.set_result((self._known, self._quotas))


def _why(err: BufferError | KafkaException) -> BridgeError:
    if isinstance(err, BufferError):
        return BrokerUnavailable("Too many events wait for Kafka in this process.")
    return _meaning(err.args[0])


def _meaning(error: KafkaError) -> BridgeError:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return TooLarge(RECORD_BYTES)
    return BrokerUnavailable("Kafka did not confirm the event; it may be stored all the same, so repeat it with the same id.")
