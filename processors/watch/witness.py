# SPDX-License-Identifier: Apache-2.0
"""
Asks Kafka again and again how far our group has come, in a thread and on connections of its own.

What the worker's consumer believes is worth nothing to the watchdog: one that no longer fetches does not see a partition grow.
An answer also says that it is not Kafka that stands still.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge import logs
from bridge.domain.errors import BridgeError
from bridge.kafka.progress import Partition, Place, Progress

LOG = logs.get("processors.witness")


@dataclass(frozen=True, slots=True)
class Answer:
    """What Kafka said at a time of the monotonic clock; partitions whose leader did not answer are left out."""

    at: float
    places: Mapping[Partition, Place]


class Witness:
    """`answer` is the newest one, None before the first; `partitions()` says what to ask about and is called in the thread."""

    def __init__(self, progress: Progress, partitions: Callable[[], Collection[Partition]], every_s: float) -> None:
        self._progress, self._partitions, self._every_s = progress, partitions, every_s
        self.answer: Answer | None = None

    def start(self) -> None:
        """Begin to ask, until the process ends."""
        threading.Thread(target=self._run, name="witness", daemon=True).start()

    def _run(self) -> None:
        silent = False
        while True:
            try:
                self.answer = Answer(time.monotonic(), self._progress.ask(self._partitions()))
            except BridgeError as err:
                if not silent:
                    LOG.warning("Kafka does not answer; until it does, nothing counts as standing still", error=str(err))
                silent = True
            else:
                silent = False
            time.sleep(self._every_s)
