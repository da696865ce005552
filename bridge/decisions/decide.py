# SPDX-License-Identifier: Apache-2.0
"""
Durable decisions with an answer: of all who want to change one object at once, one wins, whatever is lost or paused.

Four steps: a script in Redis makes the decision tentative and numbers it; the fact goes to Kafka and is read back, valid; a
second script confirms it, if the view is still the same; only then it is answered. Used by the registry's use cases. It knows
nothing of what the objects mean. Why it is safe: docs/decisions/0020-durable-decisions.md.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from bridge import logs
from bridge.decisions.facts import EPOCH_HEADER, EPOCH_SPAN, Fate, Ref
from bridge.domain.errors import BrokerUnavailable, Conflict, ViewUnavailable
from bridge.domain.limits import CONFIRM_S
from bridge.kafka.producer import LoopProducer
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.topics import Topic

LOG = logs.get("bridge.decisions")

Fates = Callable[[Ref, int, float], Awaitable[Fate | None]]

HOLD_MS: Final = 10_000
"""How long a tentative decision keeps others out: more than its record may take to be confirmed or given up."""
SUPERSEDED_MS: Final = 3_600_000
"""Superseded versions get tombstones after this time, when every reader has seen the newer one."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    What somebody wants an object to be.

    `expected` is the version that the change is based on (0: the object does not exist yet). `seen` is the version that this
    process has seen in Kafka: a fact, even where Redis has not been told of its confirmation.
    """

    ref: Ref
    value: bytes
    expected: int
    seen: int


@dataclass(frozen=True, slots=True)
class _Tentative:
    change: Change
    version: int
    epoch: int
    run_id: str
    nonce: str


class Decisions:
    """
    Decides about the objects of one topic.

    `fate(ref, version, timeout_s)` waits until this process has read a version in Kafka, and says what the log makes of it.
    `on_lost` is awaited where the view does not stand, and the decision then tried once more; without it, the caller gets
    ViewUnavailable at once, and whoever keeps the view rebuilds it.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        pipe: Pipe,
        producer: LoopProducer,
        fate: Fates,
        on_lost: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._topic, self._partitions = topic.name(settings), settings.partitions
        self._keys, self._pipe, self._producer = Keys(settings.topic_prefix), pipe, producer
        self._fate, self._on_lost = fate, on_lost

    async def decide(self, change: Change) -> int:
        """
        Make a change durable, and give its version.

        Order:  versions of an object only grow; a gap means nothing.
        Again:  after an Unavailable nobody knows whether the change came about; a repetition is then a Conflict if it did,
                or while it is still tentative (10 s).
        Raises: Conflict (somebody else's change counts or is under way), ViewUnavailable, BrokerUnavailable.
        """
        tentative = await self._begin(change)
        if tentative is None and self._on_lost is not None:
            await self._on_lost()
            tentative = await self._begin(change)
        if tentative is None:
            raise ViewUnavailable("The live view is being rebuilt from Kafka; nothing was changed. Repeat the request shortly.")
        deadline = asyncio.get_running_loop().time() + CONFIRM_S
        await self._record(tentative)
        await self._read_back(tentative, deadline)
        await self._confirm(tentative)
        return tentative.version

    def forget(self, ref: Ref, versions: Sequence[int]) -> None:
        """Write tombstones for superseded versions of an object; nobody waits for them, the next decision would repeat them."""
        for version in versions:
            try:
                self._produce(ref, version, None, [], _report_tombstone)
            except (BufferError, KafkaException) as err:
                LOG.warning("a superseded version could not be removed", object=str(ref), version=version, reason=str(err))

    async def _begin(self, change: Change) -> _Tentative | None:
        nonce, run_id = secrets.token_hex(8), self._pipe.run_id
        keys = (self._keys.epoch, self._keys.holes, self._keys.decision(*change.ref))
        args = (run_id, nonce, change.expected, change.seen, HOLD_MS, EPOCH_SPAN)
        match await self._pipe.script(script("decide_begin"), keys, args):
            case [b"tentative", int(version), int(epoch)]:
                return _Tentative(change, version, epoch, run_id, nonce)
            case [b"stale", int(confirmed)]:
                raise Conflict(f"{change.ref} was changed meanwhile: it is at version {confirmed}, not {change.expected}.")
            case [b"held", int(ms)]:
                raise Conflict(f"{change.ref} is being changed by someone else; that may take {ms / 1000:.0f} s.")
            case _:
                return None

    async def _record(self, tentative: _Tentative) -> None:
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

    async def _read_back(self, tentative: _Tentative, deadline: float) -> None:
        """
        Make sure that the log itself lets the fact count, for ever.

        What stands before a record never changes, so neither does this. A marker of a newer epoch before it comes from a
        rebuild that lost its right in the middle: every fact of this epoch would be void, so the view is declared lost. If it
        is of that newer epoch already, only we slept.
        """
        ref, version = tentative.change.ref, tentative.version
        found = await self._fate(ref, version, max(0.1, deadline - asyncio.get_running_loop().time()))
        if found == "void":
            ours = f"{tentative.run_id}:{tentative.epoch}"
            await self._pipe.script(script("close_epoch"), (self._keys.epoch, self._keys.holes), (ours,))
        if found != "counts":
            raise ViewUnavailable(f"The change of {ref} could not be read back from Kafka; see later what became of it.")

    async def _confirm(self, tentative: _Tentative) -> None:
        ref = tentative.change.ref
        keys = (self._keys.epoch, self._keys.decision(*ref))
        args = (f"{tentative.run_id}:{tentative.epoch}", tentative.nonce, tentative.version)
        if await self._pipe.script(script("decide_confirm"), keys, args) != 1:
            raise ViewUnavailable(f"The change of {ref} could not be confirmed; see later what became of it.")

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
