# SPDX-License-Identifier: Apache-2.0
"""
Asks Kafka again and again how far a group of ours has come, in a thread and on connections of its own.

What the worker's consumer believes is worth nothing to the watchdog: one that no longer fetches does not see a partition grow.
An answer also says that it is not Kafka that stands still.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping

from bridge import logs
from bridge.domain.errors import BridgeError
from bridge.kafka.progress import Partition, Place, Progress

Places = Mapping[Partition, Place]

LOG = logs.get("processors.witness")


class Witness:
    """`partitions()` says what to ask about and is called in the thread."""

    def __init__(self, progress: Progress, partitions: Callable[[], Collection[Partition]], every_s: float) -> None:
        self._progress, self._partitions, self._every_s = progress, partitions, every_s
        self._answer: Places | None = None
        self._told: Places | None = None

    def news(self) -> Places | None:
        """Give the newest answer, once; partitions whose leader did not answer are left out."""
        if self._answer is self._told:
            return None
        self._told = self._answer
        return self._told

    def start(self) -> None:
        """Begin to ask, until the process ends."""
        threading.Thread(target=self._run, name="witness", daemon=True).start()

    def _run(self) -> None:
        silent = False
        while True:
            try:
                self._answer = self._progress.ask(self._partitions())
            except BridgeError as err:
                if not silent:
                    LOG.warning("Kafka does not answer; until it does, nothing counts as standing still", error=str(err))
                silent = True
            else:
                silent = False
            time.sleep(self._every_s)
