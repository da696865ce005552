# SPDX-License-Identifier: Apache-2.0
"""Free ports for servers that are killed and started again while their clients keep knocking."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 15_000
FALLBACK_HIGHEST = 32_000
_given: set[int] = set()
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """
    Find a port that nobody listens on, below the range that the system gives to outgoing connections.

    Inside that range a client that knocks at a dead server's port can be given the very same port for its own end,
    is then connected to itself, and the server can't come back. Never gives a port twice in a process; another process may
    take it before it is used.
    Raises: OSError where 200 tries found none.
    """
    highest = _outgoing_range_start() - 1
    for _ in range(200):
        port = random.randint(LOWEST, highest)  # noqa: S311  nothing secret: two stacks only should not pick the same
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port between {LOWEST} and {highest}")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int, timeout_s: float = 0.2) -> bool:
    """Tell whether somebody accepts connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connected:
            return bool(connected.getsockname() != connected.getpeername())
    except OSError:
        return False


def _outgoing_range_start() -> int:
    try:
        start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):  # not Linux: macOS begins at 49152
        return FALLBACK_HIGHEST
    return start if start > LOWEST + 2_000 else FALLBACK_HIGHEST
