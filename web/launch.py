# SPDX-License-Identifier: Apache-2.0
"""
Put the web server in the place of this process (`evb web`), with what it needs to know of the settings.

The server supervises its workers as long as it runs, so it is a program of its own (`web.__main__`) that never loads what reads
and checks the settings: a third of its memory would be that. Its workers read the settings themselves.
Why: docs/decisions/0033-the-web-supervisor-is-its-own-program.md.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Listening:
    """The part of the settings that the server itself needs; each is named as it is there."""

    host: str
    port: int
    web_workers: int
    read_timeout_s: float
    log_format: str
    log_level: str


def launch(settings: Settings) -> NoReturn:
    """
    Become the server: the process stays the same, for whoever supervises it.

    Raises: OSError, where the address cannot be listened on.
    """
    port = _bindable(settings.host, settings.port)
    told = Listening(settings.host, port, settings.web_workers, settings.read_timeout_s, settings.log_format, settings.log_level)
    # -P: a folder `web` in the directory that `evb` was called in is not this package
    os.execv(sys.executable, [sys.executable, "-P", "-m", "web", json.dumps(asdict(told))])  # noqa: S606  no shell


def _bindable(host: str, port: int) -> int:
    """Give the port, or a free one for 0; said here, where an error becomes a sentence."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a restart need not wait
        try:
            probe.bind((host, port))
        except OSError as err:
            raise OSError(f"cannot listen on {host}:{port}: {err.strerror}") from err
        return int(probe.getsockname()[1])
