# SPDX-License-Identifier: Apache-2.0
"""
Recover Faust's tables from where they need it, not from the beginning of their topics.

Stock recovery replays a whole changelog and seeks to the offset before its first, which hangs on a topic that was cleaned. Each
of our tables says itself where its reading begins. Set as Faust's table manager by `processors.stream.app`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

if TYPE_CHECKING:
    from processors.tables.record_tables import RecordTable


class TimedRecovery(Recovery):
    """
    Begin each table's partitions at `table.begin_at(...)`; offsets here are those of the last record that is known.

    Faust would go on where its last recovery of a partition that stays here ended. Every partition begins again at a rebalance,
    though, and tables forget what may have changed: only they know from where they have to read.
    """

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:  # noqa: ARG002
        firsts = await consumer.earliest_offsets(*tps)
        for table, mine in cast("Mapping[RecordTable, set[TP]]", self.actives_for_table).items():
            wanted = mine & tps
            starts: Mapping[TP, int | None] = await table.begin_at(consumer, wanted) if wanted else {}
            for tp in wanted:
                start, end = starts.get(tp), self.active_highwaters[tp]  # the last offset there is
                destination[tp] = end if start is None else min(end, max(start, firsts[tp]) - 1)

    async def _seek_offsets(self, consumer: Any, tps: set[TP], offsets: Any, title: str) -> None:  # noqa: ARG002
        await consumer.seek_wait({tp: offsets[tp] + 1 for tp in tps})

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        consumer: Any = self.app.consumer
        await consumer._thread.pause_fetching(self.active_tps)
        await super().on_recovery_completed(generation_id)
        if self.app.consumer_generation_id == generation_id:  # only now are the committed offsets known
            await consumer._thread.resume_fetching()
            consumer.recovered = self.app.consumer_generation_id == generation_id and consumer.step == "assigned"


class TimedTables(TableManager):
    """Faust's table manager with our recovery, and without its second of sleep at the start: our tables are made before."""

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = TimedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
