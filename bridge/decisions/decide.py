# SPDX-License-Identifier: Apache-2.0
"""
Durable decisions with an answer: of all who want to change one object at once, one wins, whatever is lost or paused.

Four steps: a script in Redis makes the decision tentative and numbers it; the fact goes to Kafka and is read back, valid; a
second script confirms it, if the view is still the same; only then it is answered. Used by the registry's use cases. It knows
nothing of what the objects mean. Why it is safe: docs/decisions/0020-durable-decisions.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Generic

from confluent_kafka import KafkaError, KafkaException, Message

from bridge import logs
from bridge.decisions.facts import EPOCH_HEADER, Fate, Ref
from bridge.decisions.holds import HOLD_MS, ChangeT, Holds, Tentative
from bridge.domain.errors import BridgeError, BrokerUnavailable, ViewUnavailable
from bridge.domain.limits import CONFIRM_S
from bridge.kafka.producer import LoopProducer
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.topics import Topic

LOG = logs.get("bridge.decisions")

Effect = Callable[[], Awaitable[None]]
Fates = Callable[[Ref, int, float], Awaitable[Fate | None]]

SUPERSEDED_MS: Final = 3_600_000
"""Superseded versions get tombstones after this time, when every reader has seen the newer one."""


class Decisions(Generic[ChangeT]):
    """
    Decides about the objects of one topic.

    `fate(ref, version, timeout_s)` waits until this process has read a version in Kafka, and says what the log makes of it.
    `holds` are where Redis keeps what is tentative. `on_lost` is awaited where the view does not stand, and the decision then
    tried once more; without it, the caller gets ViewUnavailable at once, and whoever keeps the view rebuilds it.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        pipe: Pipe,
        producer: LoopProducer,
        holds: Holds[ChangeT],
        fate: Fates,
        on_lost: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._topic, self._partitions = topic.name(settings), settings.partitions
        self._keys, self._pipe, self._producer = Keys(settings.topic_prefix), pipe, producer
        self._holds, self._fate, self._on_lost = holds, fate, on_lost

    async def decide(self, change: ChangeT, first: Effect | None = None) -> int:
        """
        Make a change durable, and give its version. `first` is awaited before it is recorded: what must be there where the
        change is.

        Order:  versions of an object only grow; a gap means nothing.
        Again:  after an Unavailable nobody knows whether the change came about; a repetition is then a Conflict if it did,
                or while it is still tentative (10 s).
        Raises: Conflict (somebody else's change counts or is under way), ViewUnavailable, BrokerUnavailable.
        """
        began = asyncio.get_running_loop().time()
        tentative = await self._holds.begin(change)
        if tentative is None and self._on_lost is not None:
            await self._on_lost()
            began = asyncio.get_running_loop().time()
            tentative = await self._holds.begin(change)
        if tentative is None:
            raise ViewUnavailable("The live view is being rebuilt from Kafka; nothing was changed. Repeat the request shortly.")
        if first is not None:
            try:
                await first()
                self._still_held(began, change.ref)
            except BridgeError:
                with suppress(ViewUnavailable):  # then it is held until its time is over
                    await self._holds.release(tentative)
                raise
        deadline = asyncio.get_running_loop().time() + CONFIRM_S
        await self._record(tentative)
        await self._read_back(tentative, deadline)
        if not await self._holds.confirm(tentative):
            raise ViewUnavailable(f"The change of {change.ref} could not be confirmed; see later what became of it.")
        return tentative.version

    def forget(self, ref: Ref, versions: Sequence[int]) -> None:
        """Write tombstones for superseded versions of an object; nobody waits for them, the next decision would repeat them."""
        for version in versions:
            try:
                self._produce(ref, version, None, [], _report_tombstone)
            except (BufferError, KafkaException) as err:
                LOG.warning("a superseded version could not be removed", object=str(ref), version=version, reason=str(err))

    def _still_held(self, began: float, ref: Ref) -> None:
        """Record nothing that could not be confirmed any more. Raises: ViewUnavailable."""
        if asyncio.get_running_loop().time() - began > HOLD_MS / 1000 - CONFIRM_S:
            raise ViewUnavailable(f"The change of {ref} took too long; nothing was changed. Repeat the request.")

    async def _record(self, tentative: Tentative[ChangeT]) -> None:
        done: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()

        def report(error: KafkaError | None, _message: Message) -> None:
            if not done.done():
                done.set_result(error)

        change = tentative.change
        epoch = [(EPOCH_HEADER, str(tentative.epoch).encode())]
        try:
            self._produce(change.ref, tentative.version, change.value, epoch, report)
            error = await asyncio.wait_for(done, CONFIRM_S)
        except (TimeoutError, BufferError, KafkaException) as err:
            raise BrokerUnavailable(
                f"Kafka did not confirm the change of {change.ref} in time; see later what became of it."
            ) from err
        if error is not None:
            raise BrokerUnavailable(f"Kafka did not take the change of {change.ref}: {error.str()}.")

    async def _read_back(self, tentative: Tentative[ChangeT], deadline: float) -> None:
        """
        Make sure that the log itself lets the fact count, for ever.

        What stands before a record never changes, so neither does this. A marker of a newer epoch before it comes from a
        rebuild that lost its right in the middle: every fact of this epoch would be void, so the view is declared lost. If it
        is of that newer epoch already, only we slept.
        """
        ref, version = tentative.change.ref, tentative.version
        found = await self._fate(ref, version, max(0.1, deadline - asyncio.get_running_loop().time()))
        if found == "void":
            await self._pipe.script(script("close_epoch"), (self._keys.epoch, self._keys.holes), (tentative.life,))
        if found != "counts":
            raise ViewUnavailable(f"The change of {ref} could not be read back from Kafka; see later what became of it.")

    def _produce(
        self,
        ref: Ref,
        version: int,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        report: Callable[[KafkaError | None, Message], None],
    ) -> None:
        key, partition = ref.record_key(version), ref.partition(self._partitions)
        self._producer.send(self._topic, value, key=key, headers=headers, report=report, partition=partition)


def _report_tombstone(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        LOG.warning("a superseded version could not be removed", key=str(message.key()), reason=error.str())
