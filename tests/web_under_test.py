# SPDX-License-Identifier: Apache-2.0
"""A web server under test: tenants in the registry, `evb web` in a process of its own, and an HTTP client without opinions."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.credentials import Vault
from bridge.domain.principal import Scope
from bridge.kafka.admin import ensure_topics
from bridge.registry.keys import create_key
from bridge.registry.session import changing
from bridge.registry.signing import create_secret
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from tests.conftest import StackOfTests

START_S = 30.0
WHOLE = b"[+] redis ok"
"""What `/readyz?verbose` says once the live view can be asked."""


@dataclass(frozen=True)
class Tenant:
    """A tenant with a key of every scope that callers have, and a source named after it."""

    name: str
    key: str
    secret: str

    @property
    def source(self) -> str:
        return f"hooks-{self.name}"

    def sign(self, body: bytes) -> str:
        """Sign as GitHub does."""
        return "sha256=" + hmac.digest(self.secret.encode(), body, "sha256").hex()


@dataclass(frozen=True)
class Reply:
    """An answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class Server:
    """`evb web` as a process."""

    def __init__(self, stack: StackOfTests, settings: Settings) -> None:
        self.settings = settings
        environ = {n: v for n, v in os.environ.items() if not n.startswith("EVB_")} | stack.environ(settings)
        self.process = subprocess.Popen([sys.executable, "-m", "bridge.cli", "web"], env=environ, start_new_session=True)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send one request on a connection of its own; underscores in header names are hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=15)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def wait_ready(self) -> None:
        """Wait until it is ready and the live view is whole."""
        until(lambda: WHOLE in self._readiness(), START_S)

    def stop(self) -> int:
        """End it as an operator would; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def _readiness(self) -> bytes:
        assert self.process.poll() is None, "the server ended"
        with contextlib.suppress(OSError):
            return self.ask("GET", "/readyz?verbose").body
        return b""


def until(true: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for a condition, asking the less often the longer that takes, or fail."""
    began = time.monotonic()
    while not true():
        waited = time.monotonic() - began
        assert waited < timeout_s, f"not true within {timeout_s} s"
        time.sleep(min(0.5, 0.02 + waited / 20))


def free_port() -> int:
    """Ask the system for a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def web_server(stack: StackOfTests, settings: Settings) -> Iterator[Server]:
    """Give a ready server over topics that exist; it is stopped cleanly, and killed where the test fails."""
    ensure_topics(settings)
    server = Server(stack, settings)
    try:
        server.wait_ready()
        yield server
        if server.process.poll() is None:
            assert server.stop() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


def make_tenants(settings: Settings, *names: str) -> list[Tenant]:
    """Create tenants by the use cases that the commands call."""

    async def make() -> list[Tenant]:
        vault = Vault(settings.secret_keys.get_secret_value())
        made = []
        async with changing(settings) as changes:
            for name in names:
                await create_tenant(changes, name)
                scopes = (Scope.EVENTS_WRITE, Scope.STATUS_READ, Scope.CORRELATION_SET)
                key = await create_key(changes, name, f"program of {name}", scopes)
                secret = await create_secret(changes, vault, name, f"hooks-{name}")
                made.append(Tenant(name, key.text, secret.text))
        return made

    return asyncio.run(make())
