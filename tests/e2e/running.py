# SPDX-License-Identifier: Apache-2.0
"""`evb dev` in a child process, and what tests ask of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

EVB = [sys.executable, "-m", "bridge.cli"]
READY_S = 60


def patience(seconds: float) -> float:
    """What may take so long alone may take longer where others wait for the same cores."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 40) -> Any:
    began = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - began
        assert waited < timeout_s, f"{what}: not within {timeout_s} s"
        time.sleep(min(0.5, 0.05 + waited / 20))
    return found


class Dev:
    """One `evb dev` in a child process."""

    def __init__(self, directory: Path, *options: str, port: int = 0) -> None:
        self.data, self.ready, self.log = directory / "data", directory / "ready.json", directory / "out.txt"
        self.ready.unlink(missing_ok=True)
        began = time.monotonic()
        command = [*EVB, "dev", "--port", str(port), "--data", str(self.data), "--ready-file", str(self.ready), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_for("the ready file", self._is_ready, READY_S)
        self.seconds = time.monotonic() - began
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.said
        return self.ready.exists()

    @property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready.read_text())
        return found

    @property
    def said(self) -> str:
        return self.log.read_text()

    def call(self, method: str, path: str, content: bytes = b"", **headers: str) -> tuple[int, Any]:
        target = urlsplit(self.info["url"])
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=10)
        try:
            key = {"x-api-key": self.info["tenants"][0]["api_key"]}
            connection.request(method, path, content or None, key | {n.replace("_", "-"): v for n, v in headers.items()})
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if "json" in answer.getheader("content-type", "") else body
        finally:
            connection.close()

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)
        self.process.wait(40)

    def nothing_is_left(self) -> bool:
        _, alive = psutil.wait_procs(self.family, timeout=10)
        return not alive


Starter = Callable[..., Dev]


def buildable(dev: Dev, environment: str, operation: str, **members: Any) -> tuple[int, Any]:
    secret = dev.info["buildable"][environment]
    return dev.call("POST", f"/{operation}", json.dumps(members).encode(), x_buildable_secret=secret)


def statuses(dev: Dev, cid: str) -> set[str]:
    return {execution["status"] for execution in dev.call("GET", f"/fx/cid/{cid}")[1]["executions"]}


def event_of(event_id: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": event_id, "source": "/tests", "type": "test.kept", "data": {"a": 1}}


def post(dev: Dev, event_id: str) -> int:
    event = event_of(event_id)
    with suppress(OSError, http.client.HTTPException):
        return dev.call("POST", "/events", json.dumps(event).encode(), content_type="application/cloudevents+json")[0]
    return 0


def completed(dev: Dev, event_id: str) -> Any:
    status, found = dev.call("GET", f"/events?source=/tests&id={event_id}")
    done = status == 200 and found["executions"] and all(e["status"] == "completed" for e in found["executions"])
    return found if done else None


def evb(*arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command with no `EVB_*` variable but those given; it must never show a stack."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EVB_") or name == "EVB_CACHE"}
    done = subprocess.run(
        [*EVB, *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=plain | environ,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def triggered(*arguments: str, **environ: str) -> dict[str, Any]:
    done = evb("trigger", *arguments, "--json", **environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
