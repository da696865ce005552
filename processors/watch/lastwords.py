# SPDX-License-Identifier: Apache-2.0
"""
What a worker that stands still leaves behind: its stacks in the log, and the reason, counted, in the registry.

A counter dies with its process, and whoever starts a worker again may be systemd, Kubernetes or `evb dev`. So the count lies
where every life of the slot finds it: in the slot's announcement, which the next life reads before it does anything else.
"""

from __future__ import annotations

import sys
from typing import Final, NoReturn

from confluent_kafka import KafkaException, Producer

from bridge import logs, metrics, topics
from bridge.kafka.client import producing
from bridge.kafka.reports import fault
from bridge.registry.announcing import Announcer
from bridge.registry.objects import encode, ref_of
from bridge.settings import Settings
from processors.calls.journal import Journal
from processors.ending import stalled

LAST_WORDS_S: Final = 3.0
"""How long Kafka may take to hear them; where it does not, the log alone has the reason."""

REASONS: Final = {
    "head": "the head of a partition does not move",
    "commit": "what is finished is not committed",
    "fetch": "a partition is not read although it has grown",
    "rebalance": "a rebalance does not end",
    "recovery": "the recovery of the tables does not go on",
    "mover": "waiting executions are not given back: the mover does not end a round",
    "overdue": "waiting executions of a partition are not given back: the mover reads nothing of it",
    "loop": "the event loop does not turn: something blocks it",
}
"""Why a worker may end itself; the labels of `evb_worker_stalls_total`."""

BLAMING: Final = frozenset({"loop", "head"})
"""What an execution may have caused; the other reasons say nothing of what was running."""

LOG = logs.get("processors.lastwords")


class LastWords:
    """One per worker; makes the counters of earlier lives visible at once."""

    def __init__(self, settings: Settings, announcer: Announcer, journal: Journal) -> None:
        self._settings, self._announcer = settings, announcer
        self._journal, self.stacks_to = journal, journal.stacks_to
        if journal.stacks:
            self._say_late()
        for reason in REASONS:
            metrics.STALLS.labels(reason).inc(announcer.stalls.get(reason, 0))

    def say(self, reason: str, **where: object) -> NoReturn:
        """Dump all stacks, tell the registry and end the process, from whichever thread notices."""
        if reason not in BLAMING:
            self._journal.clear()
        stalled(REASONS[reason], lambda: self._tell(reason), cause=reason, **where)

    def _say_late(self) -> None:
        """Say and count what the last life could not: its interpreter was held, and a signal of the kernel ended it."""
        LOG.error("The last life of this worker ended: it stood still", reason=REASONS["loop"], cause="loop")
        sys.stderr.write(self._journal.stacks)
        sys.stderr.flush()
        if self._tell("loop"):
            self._journal.forget_stacks()
        self._announcer.stalls["loop"] = self._announcer.stalls.get("loop", 0) + 1

    def _tell(self, reason: str) -> bool:
        """
        Write the announcement with a client of its own: the worker's may be what stands still.

        Returns: whether Kafka has heard it.
        """
        value, heard = self._announcer.last(reason), list[bool]()
        ref = ref_of(value)
        where = (
            topics.REGISTRY.name(self._settings),
            encode(value),
            ref.record_key(None),
            ref.partition(self._settings.partitions),
        )
        try:
            producer = Producer(producing(self._settings, linger_ms=0, timeout_s=LAST_WORDS_S))
            producer.produce(*where, on_delivery=lambda error, message: heard.append(fault(error, message) is None))
            producer.flush(LAST_WORDS_S)
        except (KafkaException, BufferError) as err:
            LOG.error("the registry could not be told why the worker ends", error=str(err))
            return False
        if heard != [True]:
            LOG.error("Kafka did not hear why the worker ends")
        return heard == [True]
