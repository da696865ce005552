# SPDX-License-Identifier: Apache-2.0
"""How long something takes, measured so that a busy machine does not change the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 20.0
PAUSE_S = 0.02


def quickest(work: Callable[[], object], enough_s: float) -> float:
    """
    Give the least processor time in seconds that `work` took of this thread; the first try below `enough_s` ends the measuring.

    What else the machine does makes a try slower, for it shares caches and cores with us, and never quicker; so the tries are
    spread over a while, in which a moment of quiet is likely.
    """
    least, deadline = float("inf"), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
        if least < enough_s:
            break
        time.sleep(PAUSE_S)
    return least
