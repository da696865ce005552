# SPDX-License-Identifier: Apache-2.0
"""
Serve the door with granian, through its documented interface only. Called by the program `web`.

Worker processes read their settings from the same environment as this one. A worker that dies is started again, one that
dies at once again and again ends the server; all of them end with it, however it ends (`web.lifeline`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, TaskImpl
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer

from bridge import logs
from web.launch import Listening

TARGET = "web.door:from_environment"
BACKLOG = 1024
OPEN_REQUESTS = 4096
"""Requests that one worker holds at once; more wait in the kernel's queue. Slow clients count, so it is generous."""
HEADER_BYTES = 64 * 1024
DRAIN_S = 10
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def serve(told: Listening) -> None:
    """Serve until SIGTERM or SIGINT; answers on their way are sent first, for at most ten seconds."""
    logs.configure(told)
    metrics = _share_metrics(told.web_workers)
    logs.get("web").info("serving", url=f"http://{told.host}:{told.port}", workers=told.web_workers)
    try:
        _granian(told).serve()
    finally:
        if metrics:
            shutil.rmtree(metrics, ignore_errors=True)


def _granian(told: Listening) -> AbstractServer[Any]:
    return Granian(
        TARGET,
        factory=True,
        address=told.host,
        port=told.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        loop=Loops.uvloop,
        task_impl=TaskImpl.asyncio,
        workers=told.web_workers,
        backlog=BACKLOG,
        backpressure=OPEN_REQUESTS,
        http1_settings=HTTP1Settings(header_read_timeout=int(told.read_timeout_s * 1000), max_buffer_size=HEADER_BYTES),
        log_level=LogLevels.warning,
        log_dictconfig={"version": 1, "disable_existing_loggers": False, "loggers": {"_granian": {}, "granian.access": {}}},
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_S,
    )


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
