# SPDX-License-Identifier: Apache-2.0
"""
Write the records of executions that await their journeys again before Kafka's retention takes them.

Journeys may last longer than records are kept, and a restart knows from its record alone that an execution is open, and that
later events of its key have to wait.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, cast

from confluent_kafka import Message

from bridge import logs
from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.producer import Headers
from bridge.kafka.scan import Scan
from bridge.settings import Settings
from bridge.topics import EXECUTIONS
from processors.clock import now_ms
from processors.outcomes.verdicts import JOURNEYS
from processors.stream.outbox import Outbox, Record
from processors.tables.ordered import Open, Ordered

LOOK_S: Final = 60.0
READ_S: Final = 0.2

LOG = logs.get("processors.renewing")


class Renewing:
    """One per worker; on the loop's thread, but for the reading."""

    def __init__(self, settings: Settings, ordered: Ordered, outbox: Outbox) -> None:
        self._settings, self._ordered, self._outbox = settings, ordered, outbox
        self._topic = EXECUTIONS.name(settings)
        self._after_ms = settings.retention_hours * 3_600_000 // 2

    async def run(self) -> None:
        """Renew until cancelled what has used up half of its time."""
        while True:
            for partition, one in self._ordered.older(JOURNEYS, now_ms() - self._after_ms):
                try:
                    found = await asyncio.to_thread(self._read, partition, one.written)
                except BrokerUnavailable as err:
                    LOG.warning("An execution's record could not be read; it is tried again", reason=str(err))
                    break
                self._renew(partition, one, found)
            await asyncio.sleep(LOOK_S)

    def _read(self, partition: int, at: int) -> Message | None:
        with Scan(self._settings, (EXECUTIONS,), within={(self._topic, partition): (at, at + 1)}) as scan:
            while not scan.done:
                if found := scan.read(1, READ_S):
                    return found[0]
        return None

    def _renew(self, partition: int, one: Open, found: Message | None) -> None:
        """Send the record again, unless it has become another meanwhile: whoever ends the execution writes behind us."""
        if not self._ordered.holds(one):
            return
        if found is None:
            LOG.error("The record of an execution that waits is not there any more", execution=one.execution_id)
            one.written_ms = now_ms()
            return
        record = Record(self._topic, found.key(), found.value(), cast("Headers", found.headers() or []), partition)
        self._outbox.send(record, partial(self._renewed, one))

    def _renewed(self, one: Open, error: Any, message: Any) -> None:
        if error is not None:
            LOG.warning("An execution's record could not be renewed; it is tried again", reason=error.str())
        elif self._ordered.holds(one):
            self._ordered.written(one.execution_id, message.offset(), message.timestamp()[1])
