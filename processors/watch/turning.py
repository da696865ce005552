# SPDX-License-Identifier: Apache-2.0
"""
Watch that the event loop turns, from outside of it, and that the process itself was not stopped.

A thread counts its own looks without a turn of the loop, so a stop of the whole process is no blocked loop. But in a long one
Kafka may have given the partitions away, and the consumer hears of it later than it could write: whoever first sees that the
process stood, the thread or the loop, ends it. A call that never gives up the interpreter (a regular expression that runs away)
stops the thread as well: for that the kernel counts the process's processor time, and its signal ends the process with the
stacks of all threads, which go to the journal: the next life says and counts what this one cannot.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from bridge import metrics
from processors.ending import doubt
from processors.stream.app import HEARTBEAT_S, SESSION_S

TURN_S: Final = 1.0
LOOK_S: Final = 0.25
BLOCKED_S: Final = 8.0
"""With the dump and the last words the worker is gone within 10 s."""
BLOCKED_CPU_S: Final = 6.0
"""Less, because on a busy machine a second of the processor takes longer than a second."""
STOOD_S: Final = SESSION_S - HEARTBEAT_S
"""The last heartbeat before may have been that old: from here on the session may have ended."""


class Turning:
    """`blocked(seconds)` is called in the thread, and does not return; the signal writes to the descriptor `stacks_to`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, blocked: Callable[[float], object], stacks_to: int) -> None:
        self._loop, self._blocked, self._stacks_to = loop, blocked, stacks_to
        self._turns, self._expected = 0, 0.0
        self._looked = 0.0

    def start(self) -> None:
        """Begin to watch; call it on the loop, which runs in the main thread."""
        # dump, then the signal's own effect: the end
        faulthandler.register(signal.SIGPROF, file=self._stacks_to, all_threads=True, chain=True)
        self._expected, self._looked = self._loop.time(), time.monotonic()
        self._turn()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _turn(self) -> None:
        now = self._loop.time()
        self._judge()  # what has become due goes on only after this
        metrics.LOOP_LAG.set(max(0.0, now - self._expected))
        self._turns += 1
        signal.setitimer(signal.ITIMER_PROF, BLOCKED_CPU_S)
        self._expected = now + TURN_S
        self._loop.call_at(self._expected, self._turn)

    def _watch(self) -> None:
        seen, missed = self._turns, 0
        while True:
            time.sleep(LOOK_S)
            self._judge()
            self._looked = time.monotonic()
            missed = 0 if self._turns != seen else missed + 1
            seen = self._turns
            if missed * LOOK_S > BLOCKED_S:
                signal.setitimer(signal.ITIMER_PROF, BLOCKED_CPU_S)  # time for the last words: else the end is counted twice
                self._blocked(missed * LOOK_S)

    def _judge(self) -> None:
        """End the process where not even the thread has run for so long that others may have its partitions."""
        stood_s = time.monotonic() - self._looked
        if stood_s > STOOD_S:
            doubt("this process stood still; other workers may have its partitions", seconds=round(stood_s, 1))
