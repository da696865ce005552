# SPDX-License-Identifier: Apache-2.0
"""
Write the records of open executions again: those of ordered processes that wait for a retry, an operator or their journeys.

A restart knows from its record alone that an execution is open, and that later events of its key have to wait. So it reads from
the oldest such record on, which must not become old; and Kafka's retention would take it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import Message

from bridge import logs
from bridge.domain.errors import BrokerUnavailable
from bridge.executions import decode
from bridge.kafka.producer import Headers
from bridge.kafka.scan import EVERYTHING, Scan
from bridge.settings import Settings
from bridge.topics import EXECUTIONS
from processors.clock import now_ms
from processors.outcomes.verdicts import JOURNEYS
from processors.stream.outbox import Outbox, Record
from processors.tables.ordered import NOWHERE, Open, Ordered

AFTER_MS: Final = 40 * 60_000
"""How old a record becomes: older than the waits of all tiers but the longest, younger than what recovery reads anyway."""
WITH_MS: Final = 10 * 60_000
"""Records that are this old are written again together with an older one: one reading serves them all."""
MOST: Final = 500
"""Of one partition in one look."""
LOOK_S: Final = 60.0
SOON_S: Final = 1.0
"""Until the next look: where nothing is left to do, and where something is."""
READ_S: Final = 0.2
READ: Final = 200
TOGETHER: Final = 50
PAUSE_S: Final = 0.05
"""How many are sent at once, and the pause behind them: a thousand a second."""
FRESH_S: Final = 5.0
"""How long what was read may be acted upon: whoever was paused for longer may not own the partition any more."""

LOG = logs.get("processors.renewing")


class Read(NamedTuple):
    """The newest record of each execution, as the topic was at the time `at`."""

    newest: Mapping[str, Message]
    at: float


class Renewing:
    """
    One per worker; on the loop's thread, but for the reading.

    `recovered()` says whether what is open is known: in a recovery it is not, and in a rebalance it may be another worker's.
    """

    def __init__(self, settings: Settings, ordered: Ordered, outbox: Outbox, recovered: Callable[[], bool]) -> None:
        self._settings, self._ordered, self._outbox, self._recovered = settings, ordered, outbox, recovered
        self._topic = EXECUTIONS.name(settings)
        self._kept_ms = settings.retention_hours * 3_600_000

    async def run(self) -> None:
        """Renew until cancelled what has become old."""
        while True:
            done = True
            try:
                done = await self.look()
            except BrokerUnavailable as err:
                LOG.warning("The records of open executions could not be read; it is tried again", reason=str(err))
            await asyncio.sleep(LOOK_S if done else SOON_S)

    async def look(self) -> bool:
        """Renew what is old now, partition by partition; says whether that was all. Raises: BrokerUnavailable."""
        if not self._recovered():
            return False
        now = now_ms()
        due = self._ordered.aged(now - AFTER_MS, now - WITH_MS)
        for partition, ones in due.items():
            chosen = ones[:MOST]
            read = await asyncio.to_thread(self._read, partition, chosen)
            for number, one in enumerate(chosen, 1):
                if not self._recovered() or time.monotonic() - read.at > FRESH_S:
                    return False
                self._renew(partition, one, read.newest.get(one.execution_id))
                if not number % TOGETHER:
                    await asyncio.sleep(PAUSE_S)
        return all(len(ones) <= MOST for ones in due.values())

    def _read(self, partition: int, ones: Sequence[Open]) -> Read:
        """Read on to the end: another lane's worker may have ended one of them, which nobody told us."""
        wanted, first = {one.execution_id.encode() for one in ones}, ones[0].written
        newest: dict[str, Message] = {}
        while True:
            began = time.monotonic()
            with Scan(self._settings, (EXECUTIONS,), within={(self._topic, partition): (first, EVERYTHING[1])}) as scan:
                first = max((end for _, end in scan.stretches().values()), default=first)
                while not scan.done:
                    for message in scan.read(READ, READ_S):
                        if (key := message.key()) in wanted:
                            newest[key.decode()] = message
            if time.monotonic() - began < FRESH_S / 2:
                return Read(newest, began)

    def _renew(self, partition: int, one: Open, newest: Message | None) -> None:
        """Send the newest record again, unless the execution has gone on meanwhile: whoever ends it writes behind us."""
        if (line := self._ordered.line(one)) is None:
            return
        if newest is None:
            LOG.error("The record of an execution that waits is not there any more", execution=one.execution_id)
            self._ordered.written(one.execution_id, NOWHERE, now_ms())
            return
        known = decode(newest.value() or b"")
        if known.status.final:
            self._ordered.end(one.execution_id)
        elif one.topic != JOURNEYS and now_ms() > (one.due_ms or known.received_ms + self._kept_ms) + self._kept_ms:
            LOG.error("An execution waits for longer than its event is kept; a restart forgets it", execution=one.execution_id)
            self._ordered.written(one.execution_id, NOWHERE, now_ms())
        else:
            headers = dict(cast("Headers", newest.headers() or [])) | dict(one.headers(line))
            record = Record(self._topic, newest.key(), newest.value(), [*headers.items()], partition, now_ms())
            self._outbox.send(record, partial(self._renewed, one))

    def _renewed(self, one: Open, error: Any, message: Any) -> None:
        if error is not None:
            LOG.warning("An execution's record could not be renewed; it is tried again", reason=error.str())
        elif self._ordered.line(one) is not None:
            self._ordered.written(one.execution_id, message.offset(), message.timestamp()[1])
