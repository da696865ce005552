# SPDX-License-Identifier: Apache-2.0
"""
The Flask application for any WSGI server: services on an event loop of their own, in a thread beside the server's.

`gunicorn web.standalone:application` works; tests use `standalone`. Slower than the RSGI door, and the WSGI server must see
to slow clients itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flask import Flask

from bridge import logs
from bridge.settings import Settings, load
from web.app import create_app
from web.startup import close_services, open_services

CLOSE_S = 8.0


@contextmanager
def standalone(settings: Settings) -> Iterator[Flask]:
    """Give the whole application, ready; on leaving, what was accepted is confirmed and everything is let go."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="services", daemon=True)
    thread.start()
    try:
        services = asyncio.run_coroutine_threadsafe(open_services(settings, loop), loop).result()
        try:
            yield create_app(services, loop)
        finally:
            asyncio.run_coroutine_threadsafe(close_services(services, CLOSE_S), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Application:
    """Made on the first request: a server may fork after it has imported this module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flask: Flask | None = None
        self._open = ExitStack()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            if self._flask is None:
                settings = load()
                logs.configure(settings)
                self._flask = self._open.enter_context(standalone(settings))
        return self._flask(environ, start_response)


application = _Application()
