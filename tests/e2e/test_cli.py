# SPDX-License-Identifier: Apache-2.0
"""The commands as people and scripts use them, on a running product: what they print, their JSON and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from bridge.kafka.client import connection
from bridge.stack.found import locate
from tests.e2e.running import Dev, evb, triggered, wait_for

pytestmark = pytest.mark.timeout(120)

# --- trigger ---


def test_trigger_follows_an_event_to_its_results(on: dict[str, str]) -> None:
    done = evb("trigger", "order.created", "--wait", **on)
    accepted, result, end = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert accepted.startswith("202 accepted")
    assert result.split()[:3] == ["→", "record", "completed"]
    assert "bridge.results.record [p" in result
    assert end.startswith("Done in ")


def test_trigger_signs_githubs_webhook_and_the_plugin_handles_it(on: dict[str, str]) -> None:
    for kind in ("push", "issues", "pull_request"):
        [event] = triggered(f"github.{kind}", "--scheme", "github", "--wait", **on)["events"]
        outcome = event["outcome"]
        assert outcome["attributes"]["type"] == f"github.{kind}"
        assert {one["process"]: one["status"] for one in outcome["executions"]} == {"github": "completed", "record": "completed"}


def test_trigger_sends_the_data_of_the_caller(on: dict[str, str], product: Dev, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"from": "file"}')
    (tmp_path / "data.txt").write_text("{bad")
    sizes = [
        triggered("a.b", "--wait", "--data", given, **on)["events"][0]["outcome"]["size"]
        for given in ('{"total":12.50}', f"@{tmp_path / 'data.json'}", f"@{tmp_path / 'data.txt'}")
    ]
    assert sizes == [15, 16, 4], "a file may hold anything"
    done = evb("trigger", "a.b", "--data", "-", "--data", str(product.data), "--wait", "--json", given="[1,2,3]")
    assert json.loads(done.stdout)["events"][0]["outcome"]["size"] == 7


def test_trigger_sums_many_up(on: dict[str, str]) -> None:
    done = evb("trigger", "order.created", "--count", "50", "--rate", "200", "--wait", **on)
    assert done.returncode == 0, done.stderr
    assert "50 of 50 accepted" in done.stdout
    assert "50 completed" in done.stdout
    several = triggered("order.created", "--count", "3", **on)
    assert (several["sent"], several["accepted"]) == (3, 3)
    assert len({event["key"] for event in several["events"]}) == 3


def test_a_failed_execution_is_said_and_fails_the_command(on: dict[str, str]) -> None:
    done = evb("trigger", "github.push", "--data", "{}", "--wait", **on)
    assert done.returncode == 1
    assert "failed" in done.stdout
    assert "not-a-github-payload" in done.stdout


def test_an_event_that_does_not_end_times_the_command_out(on: dict[str, str], product: Dev) -> None:
    worker = product.info["pids"]["worker"]
    os.kill(worker, signal.SIGSTOP)
    try:
        done = evb("trigger", "order.created", "--wait", "--timeout", "0.5", **on)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert done.returncode == 5
    assert "pending" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("trigger", "a.b", "--key", "evb_wrong"), 4, "does not accept the credential"),
        (("trigger", "github.push", "--scheme", "github", "--secret", "wrong"), 4, "does not accept the credential"),
        (("trigger", "github.nosuch", "--scheme", "github"), 2, "github.push"),
        (("trigger", "a.b", "--data", "{}", "--data", "[]"), 2, "--data once"),
        (("trigger", "a.b", "--data", "@/nosuch/file"), 2, "--data @/nosuch/file cannot be read: No such file"),
        (("trigger", "a.b", "--data", "{bad"), 2, "line 1 column 2"),
        (("trigger", "a.b", "--url", "http://127.0.0.1:1", "--key", "k"), 1, "cannot be reached"),
        (("trigger", ""), 1, "header:ce-type"),
        (("trigger",), 2, "trigger --help"),
        (("events", "get", str(uuid.uuid4())), 3, "404"),
        (("events", "get", "--source", "/only"), 2, "--source and --id"),
        (("nosuch",), 2, "nosuch"),
        (("plugins", "info", "nosuch"), 3, "record"),
    ],
)
def test_faults_end_with_their_exit_code_and_one_sentence(
    on: dict[str, str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = evb(*arguments, **on)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert done.stderr.startswith("✗ ")


def test_without_a_server_or_a_key_the_option_is_named(tmp_path: Path) -> None:
    missing = evb("trigger", "a.b", EVB_DATA=str(tmp_path / "none"))
    assert (missing.returncode, "No stack runs in" in missing.stderr) == (2, True)
    keyless = evb("trigger", "a.b", EVB_URL="http://127.0.0.1:1")
    assert (keyless.returncode, "--key" in keyless.stderr) == (2, True)


class Stranger(BaseHTTPRequestHandler):
    """Some other web server."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>It works!</h1>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_another_web_server_is_recognised_as_such() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = evb("trigger", "a.b", "--key", "k", "--url", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (done.returncode, "is this an Event Bridge?" in done.stderr) == (1, True), done.stderr


# --- events get ---


def test_an_event_is_found_by_key_and_by_its_own_id(on: dict[str, str]) -> None:
    [event] = triggered("order.created", "--source", "/shop", "--wait", **on)["events"]
    by_key = evb("events", "get", event["key"], "--json", **on)
    own = event["outcome"]["attributes"]["id"]
    by_id = evb("events", "get", "--source", "/shop", "--id", own, "--wait", "5", "--json", **on)
    assert by_key.returncode == by_id.returncode == 0
    assert json.loads(by_key.stdout) == json.loads(by_id.stdout) == event["outcome"]
    shown = evb("events", "get", event["key"], **on).stdout
    assert "order.created" in shown
    assert f"from      /shop  id {own}" in shown
    assert "→ record" in shown


# --- tail ---


class Tail:
    """`evb tail` in the background, ready once it follows."""

    def __init__(self, *options: str, **environ: str) -> None:
        command = [sys.executable, "-m", "bridge.cli", "tail", *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environ
        )
        assert self._process.stderr is not None
        assert "Following" in self._process.stderr.readline()

    def lines(self) -> list[str]:
        """Wait for its end (`--limit`) and give what it printed."""
        out, _ = self._process.communicate(timeout=30)
        assert self._process.returncode == 0
        return out.splitlines()


def test_tail_shows_events_and_their_executions_live(on: dict[str, str]) -> None:
    tail = Tail("--type", "tailed.*", "--limit", "2", **on)
    triggered("other.type", **on)
    [event] = triggered("tailed.one", "--wait", **on)["events"]
    first, second = sorted(tail.lines(), key=lambda line: "record" in line)
    assert f"{event['key'][:8]}…  demo  tailed.one  · 37 bytes from /evb/trigger" in first
    assert "✓ record" in second
    assert "→ 1 result" in second


def test_tail_filters_by_status_and_tenant_and_speaks_json(on: dict[str, str]) -> None:
    tail = Tail("--status", "failed", "--tenant", "demo", "--limit", "1", "--json", **on)
    evb("trigger", "order.created", "--wait", **on)
    evb("trigger", "github.push", "--data", "{}", "--wait", **on)
    [line] = map(json.loads, tail.lines())
    assert (line["kind"], line["process"], line["status"], line["tenant"]) == ("execution", "github", "failed", "demo")
    assert "not-a-github-payload" in line["reason"]


def test_tail_says_what_it_cannot_read_and_passes_tombstones_over(on: dict[str, str], product: Dev) -> None:
    tail = Tail("--type", "none.at.all", "--limit", "1", "--json", **on)
    producer = Producer(connection(locate(product.data).settings()))
    producer.produce("bridge.executions", None, b"gone", partition=0)
    producer.produce("bridge.executions", b"{", b"odd", partition=0)
    assert producer.flush(10) == 0
    [line] = map(json.loads, tail.lines())
    assert (line["kind"], line["topic"], line["partition"]) == ("unreadable", "bridge.executions", 0)


# --- workers ---


def test_workers_are_shown_with_their_partitions_and_processes(on: dict[str, str]) -> None:
    triggered("order.created", "--wait", **on)

    def rates() -> list[dict[str, Any]]:
        found = json.loads(evb("workers", "--json", **on).stdout)
        (worker,) = found["workers"]
        assert (worker["slot"], worker["state"], worker["stalls"]) == ("0", "live", {})
        assert set(worker["processes"]) == {"createentity", "forward", "github", "record", "updateentity"}
        assert {row["owner"] for row in found["partitions"]} == {"0"}
        assert {row["lag"] for row in found["partitions"]} >= {0}
        did: list[dict[str, Any]] = found["processes"]
        return did

    did = wait_for("the next heartbeat", lambda: [row for row in rates() if row["process"] == "record"])
    assert did[0]["outcomes"]["completed"] >= 1
    assert 0 < did[0]["p50_s"] <= did[0]["p99_s"] <= 5
    assert "bridge.redeliveries" in evb("workers", **on).stdout


# --- plugins, version ---


def test_plugins_are_listed_and_described_without_a_stack(tmp_path: Path) -> None:
    listed = {row["process"]: row for row in json.loads(evb("plugins", "list", "--json").stdout)}
    assert listed["record"]["events"] == ["*"]
    assert listed["github"]["distribution"].startswith("event-bridge-github ")
    about = json.loads(evb("plugins", "info", "github", "--json").stdout)
    assert set(about["config"]["properties"]) == {"branches", "tags", "bots"}
    assert "github.push, github.issues, github.pull_request" in evb("plugins", "list").stdout
    assert "bots: boolean = True" in evb("plugins", "info", "github").stdout


def test_faulty_plugins_are_named_with_exit_code_2(tmp_path: Path) -> None:
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[event_bridge.plugins]\nodd = nothing_of_this_name\n")
    done = evb("plugins", "list", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "odd 1.0 (entry point 'odd'): cannot import 'nothing_of_this_name'" in done.stderr
    assert "✗ plugins" in evb("doctor", PYTHONPATH=str(tmp_path), EVB_PORT="x").stdout


def test_version_says_both_versions() -> None:
    assert set(json.loads(evb("version", "--json").stdout)) == {"event_bridge", "python"}


def test_debug_shows_the_stack_of_an_error() -> None:
    command = [sys.executable, "-m", "bridge.cli", "plugins", "info", "nosuch"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"EVB_DEBUG": "1"}, timeout=60)
    assert "NotFound" in done.stderr
    assert "find_processes().named(name)" in done.stderr
