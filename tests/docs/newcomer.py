# SPDX-License-Identifier: Apache-2.0
"""
A newcomer's machine: a folder like a fresh clone after `make setup`, with `make run` running in another terminal.

The environment is one of its own, so that installing a plugin by the book touches nobody else's; what the repository's
environment has installed is visible in it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

from tests.docs.pages import ROOT, Console, File

READY_S, COMMAND_S = 90.0, 120.0


class Newcomer:
    """Writes the files and runs the commands of a page; `close` ends the stack."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / ".venv" / "bin"
        _make_environment(home / ".venv")
        for name in ("examples", "docs"):
            (home / name).symlink_to(ROOT / name)
        self.process = self._started()

    def do(self, step: File | Console) -> str:
        """Do one step and give what it printed on stdout. Raises: AssertionError for another exit code than the page says."""
        if isinstance(step, File):
            target = self.home / step.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(step.text)
            return ""
        if step.restart:
            self._end()
            self.process = self._started()
        script = "\n".join(("set -e", *step.commands))
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.home, env=self._environ(), capture_output=True, text=True, timeout=COMMAND_S
        )
        assert done.returncode == step.exit_code, f"{script}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """End the stack."""
        self._end()

    @property
    def info(self) -> dict[str, str]:
        """The ready file of the running stack."""
        found: dict[str, str] = json.loads((self.home / "ready.json").read_text())
        return found

    def _started(self) -> subprocess.Popen[bytes]:
        ready, log = self.home / "ready.json", self.home / "dev.txt"
        ready.unlink(missing_ok=True)
        command = [str(self.bin / "evb"), "dev", "--port", "0", "--ready-file", str(ready)]
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=self.home, env=self._environ(), stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_S
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"not ready after {READY_S} s: {log.read_text()}"
            time.sleep(0.05)
        return process

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(40)

    def _environ(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("EVB_", "VIRTUAL_ENV", "PYTHONHOME"))}
        kept = {"EVB_CACHE": os.environ["EVB_CACHE"]} if "EVB_CACHE" in os.environ else {}
        return plain | kept | {"PATH": f"{self.bin}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _make_environment(place: Path) -> None:
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    inherited = sysconfig.get_path("purelib")
    # addsitedir and not a plain path: the repository itself is an editable install, which is a .pth file in there.
    (packages / "inherited.pth").write_text(f"import site; site.addsitedir({inherited!r})\n")
    for name, module in {"evb": "bridge.cli", "pip": "pip"}.items():
        script = place / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{python}" -m {module} "$@"\n')
        script.chmod(0o755)
    assert sys.version_info >= (3, 11)
