# SPDX-License-Identifier: Apache-2.0
"""The children of one stack, of which none outlives the process that owns the stack, even where that is killed with -9."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from bridge.stack.reaper import GOODBYE, MARK

ENOUGH_LOG = 10_000_000
PAUSE_S = 1.0
"""Between two reapers: one that cannot live must not be started all the time."""


class Family:
    """
    Starts processes that a reaper ends when this process is gone. `held`: descriptors the reaper keeps open until then.

    A reaper that dies is missed by `look` only, which whoever lives long calls several times a second.
    """

    def __init__(self, held: Sequence[int] = ()) -> None:
        self._id, self._held = uuid.uuid4().hex, held
        self._children: set[int] = set()
        self._reaper, self._began = self._new_reaper(), time.monotonic()

    def start(self, command: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own (Ctrl-C in the terminal is ours alone), its output appended to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > ENOUGH_LOG:
            log.replace(log.with_suffix(".old.log"))
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603  our own programs
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**(os.environ if environ is None else environ), MARK: self._id},
                start_new_session=True,
            )
        self._children.add(child.pid)
        self._tell(str(child.pid))
        return child

    def ended(self, pid: int) -> None:
        """Note that a child was waited for: its number may now belong to somebody else."""
        self._children.discard(pid)
        self._tell(str(-pid))

    def look(self) -> bool:
        """Start another reaper, which is told of every child, where the last one has ended; tells whether that happened now."""
        if self._reaper.poll() is None or time.monotonic() - self._began < PAUSE_S:
            return False
        self._pipe.close()
        self._reaper, self._began = self._new_reaper(), time.monotonic()
        for pid in self._children:
            self._tell(str(pid))
        return True

    def close(self) -> None:
        """Say goodbye to the reaper. Call when every child has ended."""
        if not self._pipe.closed:
            self._tell(GOODBYE)
            self._pipe.close()
        self._reaper.wait()

    def _new_reaper(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", "bridge.stack.reaper", self._id],
            bufsize=0,
            stdin=subprocess.PIPE,
            pass_fds=self._held,
            start_new_session=True,
        )

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._reaper.stdin is not None
        return self._reaper.stdin

    def _tell(self, word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has just died: the next one is told of every child
            self._pipe.write(f"{word}\n".encode())
