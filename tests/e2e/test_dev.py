# SPDX-License-Identifier: Apache-2.0
"""`evb dev` as a person and a script use it: commands that find it, lanes, Ctrl-C, two side by side, a reset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bridge.domain.errors import Misconfigured
from bridge.stack.found import locate
from bridge.stack.ports import free_port
from bridge.stack.prepare import prepare
from tests.e2e.running import EVB, Dev, Starter, patience, wait_for

pytestmark = pytest.mark.timeout(180)


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


def test_commands_find_it_until_ctrl_c_ends_it_cleanly_and_the_second_start_is_quick(
    product: Dev, start: Starter, tmp_path: Path
) -> None:
    """The last test of the file: it ends what the others share."""
    dev = product
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
    assert start(dev.data.parent).seconds < patience(15)  # 8 s is the promise for an idle machine


def prepare_quietly() -> None:
    from rich.console import Console

    prepare(Console(stderr=True))


def _refused(*options: str) -> str:
    done = subprocess.run([*EVB, "dev", *options], capture_output=True, text=True, check=False, timeout=40)
    assert done.returncode == 2
    return done.stderr
