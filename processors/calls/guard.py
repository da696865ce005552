# SPDX-License-Identifier: Apache-2.0
"""
See to it that no child process outlives its worker, however the worker ended, nor anything that a child had started.

Run as a program it is the guard: its standard input is a pipe that only the worker holds open. At the pipe's end every process
group that the worker named and did not take back is killed. A child could not do that itself: it may be stuck in C code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


class Guard:
    """The worker's end; the program starts with the first group. Raises: OSError where the program cannot start or was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Name a group that must not outlive this process."""
        with self._lock:
            if self._program is None:
                command = [sys.executable, "-I", "-S", __file__]  # the standard library only: it starts at once and stays small
                self._program = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
            self._tell(self._program, group)

    def forget(self, group: int) -> None:
        """Take a group back that has ended: its number may now belong to somebody else."""
        with self._lock:
            if self._program is not None:
                self._tell(self._program, -group)

    def close(self) -> None:
        """End the program, with whatever is still named."""
        if self._program is not None:
            self._program.communicate()

    def _tell(self, program: subprocess.Popen[bytes], number: int) -> None:
        assert program.stdin is not None
        program.stdin.write(b"%d\n" % number)
        program.stdin.flush()


def main() -> None:
    """Read to the end of the pipe, then kill what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the worker's end is ours
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line)
        if group > 0:
            groups.add(group)
        else:
            groups.discard(-group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
