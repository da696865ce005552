# SPDX-License-Identifier: Apache-2.0
"""
End a child process when its parent is gone, however the parent died.

Asks for the parent's process id twice a second instead of using Linux's parent-death signal, so that macOS behaves alike.
"""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_S = 0.5


def follow(parent: int) -> None:
    """Start a thread that sends this process SIGTERM, until it ends, once `parent` is its parent no longer."""
    threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    while True:  # a process that starts may lose one: uvloop passes no signal on before its loop runs
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LOOK_S)
