# SPDX-License-Identifier: Apache-2.0
"""
One line per answered request, written without ever blocking the event loop.

Lines wait in a bounded queue for a thread; where stdout takes no more, the oldest stay and new ones are dropped and counted.
"""

from __future__ import annotations

import queue
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.logs import as_json
from bridge.metrics import LOG_LINES_DROPPED
from bridge.settings import Settings

QUIET_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
"""Asked every few seconds by machines; their lines would hide the others."""
WAITING_LINES = 20_000
Line = tuple[float, str, str, int, float, int, str, str]
"""The wall clock in seconds, method, path, status, seconds taken, bytes of the body, dialect, request id."""


class AccessLog:
    """The access log of one process; lines are wanted where it is `enabled`."""

    def __init__(self, settings: Settings) -> None:
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._render = _json if as_json(settings) else _readable
        self.enabled = settings.log_level in ("debug", "info")
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Queue a line, or drop it where too many wait."""
        if line[2] in QUIET_PATHS:
            return
        if self._lines.qsize() >= WAITING_LINES:
            LOG_LINES_DROPPED.inc()
            return
        self._lines.put(line)

    def close(self) -> None:
        """Write what waits, for at most a second."""
        self._lines.put(None)
        self._thread.join(1.0)

    def _write(self) -> None:
        ended = False
        while not ended:
            batch = [self._lines.get()]
            while not self._lines.empty() and len(batch) < 1000:
                batch.append(self._lines.get())
            ended = None in batch
            try:
                sys.stdout.write("".join(self._render(line) for line in batch if line is not None))
                sys.stdout.flush()
            except (OSError, ValueError):  # nobody reads stdout any more: serving goes on without its log
                LOG_LINES_DROPPED.inc(len(batch))


def _json(line: Line) -> str:
    time_s, method, path, status, seconds, size, dialect, request_id = line
    fields: dict[str, Any] = {
        "timestamp": _iso(time_s),
        "level": "info",
        "logger": "web.access",
        "event": "request",
        "method": method,
        "path": path,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "bytes": size,
        "dialect": dialect,
        "request_id": request_id,
    }
    return orjson.dumps(fields).decode() + "\n"


def _readable(line: Line) -> str:
    time_s, method, path, status, seconds, size, _, request_id = line
    shown = path.encode("unicode_escape").decode()
    return f"{_iso(time_s)[11:23]} {status} {method:<6} {shown}  {seconds * 1000:.1f} ms  {size} B  {request_id}\n"


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
