# SPDX-License-Identifier: Apache-2.0
"""How `evb web` becomes the server: what it refuses first, what it no longer carries, and what it must not stumble over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from tests.conftest import StackOfTests
from tests.web_under_test import Server, free_port, make_tenants, until, web_server

EVB = [str(Path(sys.executable).parent / "evb"), "web"]
EVENT = b'{"event_source":"s","event_type":"t","payload":1}'
MOST_MB = 120
"""Of the server and its one worker, added up. Asked for are 130; the test leaves room for what a long run adds."""


def test_a_taken_port_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*EVB, "--port", str(port)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.strip() == f"✗ cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_folder_called_web_where_it_is_started_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    port = free_port()
    environ = os.environ | {"EVB_PORT": str(port), "EVB_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    process = subprocess.Popen(EVB, cwd=tmp_path, env=environ, start_new_session=True)
    try:
        until(lambda: process.poll() is not None or listens(port), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_server_loads_neither_what_reads_settings_nor_what_answers() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "web", "{}"]  # imports all it wants, then misses its arguments
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"granian", "structlog"} <= loaded
    assert not loaded & {"pydantic", "pydantic_settings", "rich.console", "typer", "flask", "confluent_kafka", "faust", "redis"}


def test_server_and_worker_are_small(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server:
        for _ in range(100):
            assert submit(server, tenant.key) == 202
        processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
        assert len(processes) == 2
        resident = [one.memory_info().rss / 1e6 for one in processes]
        assert sum(resident) < MOST_MB, resident


def submit(server: Server, key: str) -> int:
    return server.ask("POST", "/fx/events", EVENT, X_API_KEY=key, Content_Type="application/json").status
