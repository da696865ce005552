# SPDX-License-Identifier: Apache-2.0
"""Programs whose wall clock can be moved while they run, each its own; the clocks of all others stay."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bridge.stack.family import Family
from bridge.stack.programs import Program

SOURCE = Path(__file__).with_name("moved_clock.c")
LIBRARY = "moved_clock.so"


class MovedClock(Program):
    """A program with a clock of its own, which is right until it is moved, and stays moved over restarts."""

    def __init__(self, role: str, port: int, family: Family, log: Path, environ: Mapping[str, str]) -> None:
        """Raises: RuntimeError where there is no C compiler or it fails."""
        super().__init__(role, port, family, log, environ)
        self._clock, self._library = log.with_suffix(".clock"), log.with_name(LIBRARY)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._clock.write_bytes(_written(0))
        if not self._library.exists():
            _compile(self._library)

    def environ(self) -> dict[str, str]:
        return super().environ() | {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._clock)}

    def move(self, ms: int) -> None:
        """Move the clock to so many milliseconds after the right time, in the very file that the program has mapped."""
        with self._clock.open("r+b") as file:
            file.write(_written(ms))


def _written(ms: int) -> bytes:
    return ms.to_bytes(8, sys.byteorder, signed=True)


def _compile(library: Path) -> None:
    if not (compiler := shutil.which("cc")):
        raise RuntimeError("there is no C compiler for the clock that moves: run tests/chaos/install-cc.sh (Debian, Ubuntu)")
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the clock that moves cannot be made: {done.stderr}")
