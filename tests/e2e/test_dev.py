# SPDX-License-Identifier: Apache-2.0
"""`evb dev` as a person and a script use it: ready file, restarts, kills, Ctrl-C, data that stays, two side by side."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from bridge.domain.errors import Misconfigured
from bridge.stack.found import locate
from bridge.stack.ports import free_port
from bridge.stack.prepare import prepare

EVB = [sys.executable, "-m", "bridge.cli"]
READY_S = 60

pytestmark = pytest.mark.timeout(180)


def patience(seconds: float) -> float:
    """What may take so long alone may take longer where others wait for the same cores."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 40) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.05)
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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start stacks that the test's end does not leave behind."""
    started: list[Dev] = []

    def one(directory: Path = tmp_path, *options: str, port: int = 0) -> Dev:
        started.append(Dev(directory, *options, port=port))
        return started[-1]

    yield one
    for dev in started:
        with suppress(ProcessLookupError):
            dev.end(signal.SIGTERM)
        assert dev.nothing_is_left()


def test_the_ready_file_tells_what_runs_and_the_printed_curl_works(product: Dev) -> None:
    dev = product
    info = dev.info
    assert set(info["pids"]) == {"web", "worker", "kafka", "redis"}
    for pid in info["pids"].values():
        assert psutil.pid_exists(pid)
    with redis.Redis.from_url(info["redis"]) as client:
        assert client.ping()
    (tenant,) = info["tenants"]
    assert tenant["name"] == "demo"
    wait_for("the welcome, which follows the ready file", lambda: "Ctrl-C ends it" in dev.said)
    for credential in (tenant["api_key"], tenant["signing_secret"], info["url"]):
        assert credential in dev.said
    for file in (dev.ready, dev.data / "stack.json", dev.data / "demo.json", dev.data / "secret.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads((dev.data / "stack.json").read_text()) == info
    assert "public addresses, and 127.0.0.0/8,::1/128" in dev.said

    (line,) = [line for line in dev.said.splitlines() if line.strip().startswith("curl ")]
    answer = json.loads(subprocess.run(shlex.split(line), capture_output=True, check=True, timeout=20).stdout)

    status, result = dev.call("GET", f"/fx/cid/{answer['cid']}")
    assert status == 200
    assert result["executions"]
    wait_for("a final status", lambda: _statuses(dev, answer["cid"]) == {"completed"})


def test_an_emitted_event_is_processed_and_claimed_and_seen_in_one_look_up(product: Dev) -> None:
    pair = product.info["buildable"]
    key = _buildable(product, "live", "emit", event="user.created", payload={"id": "42"})[1]["key"]
    assert _buildable(product, "test", "init", key=key, txKey="mailer")[0] == 404, "a value sees its own environment only"
    assert _buildable(product, "live", "init", key=key, txKey="mailer")[0] == 200
    finished = {"key": key, "txKey": "mailer", "output": "{}", "state": "finished"}
    assert _buildable(product, "live", "transact", **finished)[0] == 200
    seen = wait_for("its executions' ends", lambda: _settled(product, key))
    assert {one["status"] for one in seen["executions"]} == {"completed"}
    assert [(one["tx_key"], one["state"]) for one in seen["transactions"]] == [("mailer", "finished")]
    told = subprocess.run([*EVB, "events", "get", key, "--data", str(product.data)], capture_output=True, text=True, check=True)
    assert "transaction mailer  finished" in told.stdout
    assert pair["test"].startswith("sk_test_1_")


def test_a_message_makes_an_entity_and_shows_it(product: Dev) -> None:
    client = product.info["eventingress"]
    form = urlencode({"grant_type": "client_credentials"} | {name: client[name] for name in ("client_id", "client_secret")})
    token = product.call("POST", "/connect/token", form.encode(), content_type="application/x-www-form-urlencoded")[1]
    caller = {"authorization": f"Bearer {token['access_token']}", "x_tenant_id": client["tenant_id"]}
    payload = {"type": "Company", "properties": {"legalEntityName": {"type": "Single", "value": "Acme Finance Group"}}}
    message = {"eventType": "externaldata", "eventSubtype": "createentity", "payload": payload}
    status, sent = product.call(
        "POST", "/eventingress/v1/events", json.dumps(message).encode(), content_type="application/json", **caller
    )
    assert status == 202, sent

    def ended() -> Any:
        time.sleep(1)  # two requests a second are let in
        found = product.call("GET", f"/eventingress/v1/events/{sent['data']['eventId']}", **caller)[1]["data"]
        return found if found["status"]["status"] not in ("Received", "Processing") else None

    shown = wait_for("the message's end", ended)
    assert (shown["status"]["status"], shown["eventData"]) == ("Processed", payload), shown
    ((entity),) = shown["entities"]
    assert (entity["action"], entity["eventId"]) == ("Created", sent["data"]["eventId"])


def _settled(dev: Dev, key: str) -> Any:
    found = dev.call("GET", f"/events/{key}")[1]
    return found if found["settled"] else None


def _buildable(dev: Dev, environment: str, operation: str, **members: Any) -> tuple[int, Any]:
    secret = dev.info["buildable"][environment]
    return dev.call("POST", f"/{operation}", json.dumps(members).encode(), x_buildable_secret=secret)


def _statuses(dev: Dev, cid: str) -> set[str]:
    return {execution["status"] for execution in dev.call("GET", f"/fx/cid/{cid}")[1]["executions"]}


def test_commands_find_it_until_ctrl_c_ends_it_cleanly_and_the_second_start_is_quick(start: Starter, tmp_path: Path) -> None:
    dev = start()
    for options, environ in ((["--data", str(dev.data)], {}), ([], {"EVB_DATA": str(dev.data)})):
        done = subprocess.run(
            [*EVB, "topics", "check", "--json", *options], env=os.environ | environ, capture_output=True, check=False, timeout=30
        )
        assert (done.returncode, json.loads(done.stdout)) == (0, [])

    began = time.monotonic()
    dev.end(signal.SIGINT)
    assert time.monotonic() - began < patience(15)
    assert dev.process.returncode == 0
    assert dev.nothing_is_left()
    assert not dev.ready.exists()
    assert not (dev.data / "stack.json").exists()

    done = subprocess.run(
        [*EVB, "topics", "list", "--data", str(dev.data)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert "No stack runs in" in done.stderr
    with pytest.raises(Misconfigured, match="No stack runs in"):
        locate(tmp_path / "elsewhere")
    assert start().seconds < patience(15)  # 8 s is the promise for an idle machine


def test_a_part_that_dies_is_started_again_and_the_file_tells(start: Starter) -> None:
    dev = start()
    for role in ("worker", "web", "redis", "kafka"):
        before = dev.info["pids"]
        os.kill(before[role], signal.SIGKILL)
        wait_for(f"a new {role}", lambda role=role, before=before: dev.info["pids"][role] != before[role])
        assert {r: p for r, p in dev.info["pids"].items() if r != role} == {r: p for r, p in before.items() if r != role}
        if role == "worker":  # one that has not found its topics yet could not outlive Kafka
            log = dev.data / "log" / "worker.log"
            wait_for("the worker is ready again", lambda log=log: log.read_text().count("worker is ready") == 2)
    wait_for("events are taken", lambda: _post(dev, "again") == 202)


PLUGIN = """
from bridge.sdk import Completed, Process, hookimpl

class SlowPoke(Process):
    name, version, events, lane, timeout_s = "slow-poke", "1.0.0", ("test.slow",), "own", 60

    async def run(self, event, context):
        return Completed(data={"lane": "own"})

@hookimpl
def bridge_processes():
    return [SlowPoke()]
"""


def test_a_process_with_a_lane_gets_its_own_worker(start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "plugin"
    about = plugin / "slow_poke-1.0.0.dist-info"
    about.mkdir(parents=True)
    (plugin / "slow_poke.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-poke\nVersion: 1.0.0\n")
    (about / "entry_points.txt").write_text("[event_bridge.plugins]\nslow-poke = slow_poke\n")
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    dev = start()
    assert set(dev.info["pids"]) == {"web", "worker", "worker-slow-poke", "kafka", "redis"}
    event = {"specversion": "1.0", "id": "1", "source": "/tests", "type": "test.slow", "data": {}}
    status, receipt = dev.call("POST", "/events", json.dumps(event).encode(), content_type="application/cloudevents+json")
    assert status == 202
    _, found = dev.call("GET", f"/events/{receipt['key']}?wait=20")
    assert [(e["status"], e["data"]) for e in found["executions"] if e["process"] == "slow-poke"] == [
        ("completed", {"lane": "own"})
    ]


def event_of(event_id: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": event_id, "source": "/tests", "type": "test.kept", "data": {"a": 1}}


def _post(dev: Dev, event_id: str) -> int:
    event = event_of(event_id)
    with suppress(OSError, http.client.HTTPException):
        return dev.call("POST", "/events", json.dumps(event).encode(), content_type="application/cloudevents+json")[0]
    return 0


def test_a_killed_dev_leaves_no_child_its_data_serves_the_next_and_a_reset_begins_with_nothing(
    start: Starter, tmp_path: Path
) -> None:
    dev = start()
    assert _post(dev, "kept") == 202
    tenants, pair, client = dev.info["tenants"], dev.info["buildable"], dev.info["eventingress"]
    token = dev.info["flow"]
    assert (token["token"][:4], token["team"]) == ("bft_", tenants[0]["name"])
    key = _buildable(dev, "live", "emit", event="kept", payload={})[1]["key"]
    assert _buildable(dev, "live", "init", key=key, txKey="mine")[0] == 200
    dev.process.kill()
    dev.process.wait()
    assert dev.nothing_is_left()

    second = start()
    assert second.info["tenants"] == tenants
    found = wait_for("the event", lambda: _completed(second, "kept"))
    assert found["executions"]
    assert second.info["buildable"] == pair
    assert second.info["eventingress"] == client
    assert second.info["flow"] == token
    assert _buildable(second, "live", "init", key=key, txKey="mine")[0] == 409, "an answered claim survives the end of everything"
    assert _buildable(second, "live", "transact", key=key, txKey="mine", state="finished")[0] == 200

    second.end()
    third = start(tmp_path, "--reset")
    assert third.info["tenants"][0]["api_key"] != tenants[0]["api_key"]
    assert third.call("GET", "/events?source=/tests&id=kept")[0] == 404


def test_what_was_kept_can_be_looked_up_at_the_moment_that_it_is_ready(start: Starter) -> None:
    dev = start()
    event = {"event_source": "tests", "event_type": "kept", "payload": {"id": "1"}}
    accepted = dev.call("POST", "/fx/events", json.dumps(event).encode(), content_type="application/json")[1]
    wait_for("a final status", lambda: _statuses(dev, accepted["cid"]) == {"completed"})
    cloud_event = json.dumps(event_of("kept")).encode()
    status, receipt = dev.call("POST", "/events", cloud_event, content_type="application/cloudevents+json")
    assert status == 202
    dev.end()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(_hold_the_rebuild, dev.data)
        second = start()
        statuses = [second.call("GET", path)[0] for path in (f"/events/{receipt['key']}", f"/fx/cid/{accepted['cid']}")]
        held.result()
    assert statuses == [200, 200]
    assert "not whole" not in second.said


def _hold_the_rebuild(data: Path) -> None:
    """Have the processes believe that another one rebuilds the view, until a second after the worker is ready."""
    log = data / "log" / "worker.log"
    before = log.read_text().count("worker is ready")
    port = wait_for("Valkey", lambda: _port_of_valkey(data))
    with redis.Redis(port=port, retry=Retry(ConstantBackoff(0.02), 500)) as client:
        assert client.set("bridge:rebuild", "the test", px=25_000, nx=True), "held before anybody rebuilt"
        wait_for("the worker", lambda: log.read_text().count("worker is ready") > before)
        time.sleep(1)
        client.delete("bridge:rebuild")


def _port_of_valkey(data: Path) -> int:
    """Its port, found by its directory; 0 where it does not run."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if "--port" in line and str(data / "valkey") in line:
                return int(line[line.index("--port") + 1])
    return 0


def test_a_reaper_that_dies_is_missed_and_the_next_one_ends_the_parts(start: Starter) -> None:
    dev = start()
    (reaper,) = _reapers(dev)
    reaper.kill()
    killed = time.monotonic()
    wait_for("word of it", lambda: "another one runs now" in dev.said)
    assert time.monotonic() - killed < patience(2)
    (second,) = _reapers(dev)
    assert second != reaper
    dev.family = psutil.Process(dev.process.pid).children(recursive=True)
    assert len(dev.family) >= 5
    dev.process.kill()
    dev.process.wait()
    assert dev.nothing_is_left()


def _reapers(dev: Dev) -> list[psutil.Process]:
    """Its reapers; one that was killed and not waited for has no command line any more."""
    return [one for one in psutil.Process(dev.process.pid).children() if "bridge.stack.reaper" in one.cmdline()]


def _completed(dev: Dev, event_id: str) -> Any:
    status, found = dev.call("GET", f"/events?source=/tests&id={event_id}")
    done = status == 200 and found["executions"] and all(e["status"] == "completed" for e in found["executions"])
    return found if done else None


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    prepare_quietly()
    command = [*EVB, "dev", "--port", "0", "--data", str(tmp_path / "data")]
    dev = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family = wait_for("its first children", lambda: _more_than(1, psutil.Process(dev.pid).children(recursive=True)))
    dev.send_signal(signal.SIGINT)
    assert dev.wait(20) == 130
    assert not psutil.wait_procs(family, timeout=10)[1]


def _more_than(count: int, found: list[psutil.Process]) -> list[psutil.Process]:
    return found if len(found) > count else []


def test_two_run_side_by_side_and_one_directory_has_one(product: Dev, start: Starter, tmp_path: Path) -> None:
    one, two = product, start()
    assert {one.call("GET", "/readyz")[0], two.call("GET", "/readyz")[0]} == {200}
    assert not set(one.info["pids"].values()) & set(two.info["pids"].values())

    refused = _refused("--data", str(one.data), "--port", "0")
    assert f"is in use by a running stack (process {one.process.pid})" in refused
    assert "--port 0" in _refused("--data", str(tmp_path / "c"), "--port", one.info["url"].rpartition(":")[2])
    assert one.call("GET", "/readyz")[0] == 200


def test_reset_empties_no_directory_that_is_not_a_stacks(tmp_path: Path) -> None:
    prepare_quietly()
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "nothing was removed" in _refused("--data", str(tmp_path), "--port", str(free_port()), "--reset")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def prepare_quietly() -> None:
    from rich.console import Console

    prepare(Console(stderr=True))


def _refused(*options: str) -> str:
    done = subprocess.run([*EVB, "dev", *options], capture_output=True, text=True, check=False, timeout=40)
    assert done.returncode == 2
    return done.stderr
