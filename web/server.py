# SPDX-License-Identifier: Apache-2.0
"""
Serve the door with granian, through its documented interface only. Called by `evb web`.

Worker processes read their settings from the same environment as this one. A worker that dies is started again, one that
dies at once again and again ends the server; all of them end with it, however it ends (`web.lifeline`).
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, TaskImpl
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer

from bridge import logs
from bridge.settings import Settings

TARGET = "web.door:from_environment"
BACKLOG = 1024
OPEN_REQUESTS = 4096
"""Requests that one worker holds at once; more wait in the kernel's queue. Slow clients count, so it is generous."""
HEADER_BYTES = 64 * 1024
DRAIN_S = 10
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; answers on their way are sent first, for at most ten seconds."""
    logs.configure(settings)
    log = logs.get("web")
    port = settings.port or _free_port(settings.host)
    metrics = _share_metrics(settings.web_workers)
    log.info("serving", url=f"http://{settings.host}:{port}", workers=settings.web_workers)
    try:
        _granian(settings, port).serve()
    finally:
        if metrics:
            shutil.rmtree(metrics, ignore_errors=True)


def _granian(settings: Settings, port: int) -> AbstractServer[Any]:
    return Granian(
        TARGET,
        factory=True,
        address=settings.host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        loop=Loops.uvloop,
        task_impl=TaskImpl.asyncio,
        workers=settings.web_workers,
        backlog=BACKLOG,
        backpressure=OPEN_REQUESTS,
        http1_settings=HTTP1Settings(header_read_timeout=int(settings.read_timeout_s * 1000), max_buffer_size=HEADER_BYTES),
        log_level=LogLevels.warning,
        log_dictconfig={"version": 1, "disable_existing_loggers": False, "loggers": {"_granian": {}, "granian.access": {}}},
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_S,
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _share_metrics(workers: int) -> str:
    """
    Give several workers one place for their numbers, and return it where this call made it.

    It must be set before prometheus_client is imported, and be empty at the start.
    """
    if workers == 1 or MULTIPROCESS in os.environ:
        return ""
    directory = tempfile.mkdtemp(prefix="evb-metrics-")
    os.environ[MULTIPROCESS] = directory
    return directory
