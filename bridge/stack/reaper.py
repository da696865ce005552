# SPDX-License-Identifier: Apache-2.0
"""
Run as `python -m bridge.stack.reaper ID` beside a stack: ends everything that belongs to it when its owner dies.

Its standard input is a pipe that only the owner holds open. At its end, however the owner died, every process that carries
`EVENT_BRIDGE_STACK=ID` in its environment, or belongs to a process group that the owner named on the pipe, is killed. Works on
Linux and macOS alike, and for children of children. It must not import anything slow.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

MARK = "EVENT_BRIDGE_STACK"
GOODBYE = "goodbye"
GIVE_UP_S = 20.0


def main(stack_id: str) -> None:
    """Read the pipe to its end, then kill what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        word = line.strip()
        if word == GOODBYE:
            return
        group = int(word)
        groups.symmetric_difference_update({abs(group)} if (group > 0) != (abs(group) in groups) else set())
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + GIVE_UP_S
    while _kill_marked(stack_id) and time.monotonic() < deadline:
        time.sleep(0.05)


def _kill_marked(stack_id: str) -> bool:
    """Kill every marked process; tells whether there was any: one may have been starting another meanwhile."""
    import psutil  # type: ignore[import-untyped]  # it ships no types

    found = False
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            marked = process.environ().get(MARK) == stack_id
            if marked and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found = True
                process.kill()
    return found


if __name__ == "__main__":
    main(sys.argv[1])
