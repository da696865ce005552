# SPDX-License-Identifier: Apache-2.0
"""The children of one stack, of which none outlives the process that owns the stack, even where that is killed with -9."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.stack.reaper import GOODBYE, MARK

ENOUGH_LOG = 10_000_000


class Family:
    """Starts processes that a reaper ends when this process is gone. `held`: descriptors the reaper keeps open until then."""

    def __init__(self, held: Sequence[int] = ()) -> None:
        self._id = uuid.uuid4().hex
        self._reaper = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-m", "bridge.stack.reaper", self._id],
            stdin=subprocess.PIPE,
            pass_fds=held,
            start_new_session=True,
        )

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
        self._tell(str(child.pid))
        return child

    def ended(self, pid: int) -> None:
        """Note that a child was waited for: its number may now belong to somebody else."""
        self._tell(str(-pid))

    def close(self) -> None:
        """Say goodbye to the reaper. Call when every child has ended."""
        if self._reaper.stdin and not self._reaper.stdin.closed:
            self._tell(GOODBYE)
            self._reaper.stdin.close()
        self._reaper.wait()

    def _tell(self, word: str) -> None:
        assert self._reaper.stdin is not None
        try:
            self._reaper.stdin.write(f"{word}\n".encode())
            self._reaper.stdin.flush()
        except BrokenPipeError as err:
            raise RuntimeError("the stack's reaper was killed; end the stack and start it again") from err
