# SPDX-License-Identifier: Apache-2.0
"""One part of the stack: a server in a child process that can be started, stopped, killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from bridge.domain.errors import Misconfigured
from bridge.stack.family import Family

TAIL_LINES = 15


class Part(ABC):
    """A server of the stack. Not thread-safe: one thread starts and ends it. Its address stays over restarts."""

    name: str
    start_s = 30.0
    """How long it may take until it answers, on a busy machine."""
    stop_s = 10.0
    """How long a clean end may take before it is killed."""

    def __init__(self, family: Family, log: Path) -> None:
        self._family, self.log = family, log
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Give the command line."""

    @abstractmethod
    def answers(self) -> bool:
        """Ask it something real, briefly; tell whether it answered."""

    def environ(self) -> dict[str, str]:
        """Give the environment."""
        return dict(os.environ)

    @property
    def pid(self) -> int:
        """The process id; 0 while it does not run."""
        return self._child.pid if self._child and self.running else 0

    @property
    def running(self) -> bool:
        """Whether the process lives (frozen counts as living)."""
        return self.exit_code is None and self._child is not None

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs, or before its first start."""
        child = self._child
        if child is None:
            return None
        if child.returncode is None and child.poll() is not None:
            self._end_the_rest(child.pid)
        return child.returncode

    def spawn(self) -> None:
        """Start the process without waiting; does nothing where it runs."""
        if self.running:
            return
        self._forget()
        self._child = self._family.start(self.command(), log=self.log, environ=self.environ())

    def wait(self, timeout_s: float | None = None) -> None:
        """
        Wait until it answers.

        Raises: Misconfigured with the end of its log where it ends or stays silent for `timeout_s` seconds.
        """
        deadline = time.monotonic() + (timeout_s or self.start_s)
        while not self.answers():
            if not self.running:
                raise Misconfigured(f"{self.name} ended with {self.exit_code} while starting.\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise Misconfigured(f"{self.name} does not answer after {timeout_s or self.start_s:.0f} s.\n{self.last_words()}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.spawn()
        self.wait()

    def stop(self) -> None:
        """End it cleanly (SIGTERM); kill it where that takes longer than `stop_s`."""
        self.ask_to_end()
        self.await_end()

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)

    def await_end(self) -> None:
        """Wait for the end that was asked for; kill it where that takes longer than `stop_s`."""
        if self._child is None:
            return
        try:
            self._child.wait(self.stop_s)
            self._end_the_rest(self._child.pid)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """End it with SIGKILL, with every process that it started, and wait until it is gone."""
        if self._child is not None:
            self._signal(signal.SIGKILL)
            self._child.wait()
            self._end_the_rest(self._child.pid)
            self._forget()

    def freeze(self) -> None:
        """Stop it (SIGSTOP), and return once it stands: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        while self.running and psutil.Process(self.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.005)

    def thaw(self) -> None:
        """Let a frozen part go on."""
        self._signal(signal.SIGCONT)

    def last_words(self) -> str:
        """Give the end of its log, for an error message."""
        if not self.log.exists():
            return f"({self.log} does not exist)"
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"The end of {self.log}:", *lines])

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self.running:
            os.killpg(self._child.pid, number)

    @staticmethod
    def _end_the_rest(group: int) -> None:
        """Kill what the process started and left behind: it would hold the port of the next one."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left (macOS: PermissionError)
            os.killpg(group, signal.SIGKILL)

    def _forget(self) -> None:
        if self._child is not None and self.exit_code is not None:
            self._family.ended(self._child.pid)
            self._child = None
