# SPDX-License-Identifier: Apache-2.0
"""
One `evb dev` under which everything ends, in this order: its parts, which it starts again, also on a disk without room; its
reaper, which it misses; and itself, with nothing left.
"""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.e2e.running import Dev, patience, post, wait_for

pytestmark = pytest.mark.timeout(180)


def test_a_part_that_dies_is_started_again_and_the_file_tells(product: Dev) -> None:
    dev = product
    for role in ("worker", "web", "redis", "kafka"):
        before = dev.info["pids"]
        os.kill(before[role], signal.SIGKILL)
        wait_for(f"a new {role}", lambda role=role, before=before: dev.info["pids"][role] != before[role])
        assert {r: p for r, p in dev.info["pids"].items() if r != role} == {r: p for r, p in before.items() if r != role}
        if role == "worker":  # one that has not found its topics yet could not outlive Kafka
            log = dev.data / "log" / "worker.log"
            wait_for("the worker is ready again", lambda log=log: log.read_text().count("worker is ready") == 2)
    wait_for("events are taken", lambda: post(dev, "again") == 202)


def test_what_cannot_be_written_is_said_once_and_tried_again(product: Dev) -> None:
    """A directory in the way of a file that is being written is, as a full disk is, an OSError."""
    before, own = product.info["pids"], product.process.pid
    file, configuration = product.data / f".stack.json.{own}", product.data / "kafka" / f".server.properties.{own}"

    file.mkdir()
    os.kill(before["web"], signal.SIGKILL)
    wait_for("the ready file is missed", lambda: "The ready file cannot be written" in product.said)
    wait_for("the web server is back", lambda: post(product, "before") == 202)
    configuration.mkdir()
    os.kill(before["kafka"], signal.SIGKILL)
    wait_for("Kafka is missed", lambda: "kafka cannot be started" in product.said)
    assert product.call("GET", "/livez")[0] == 200
    assert product.process.poll() is None, product.said

    configuration.rmdir()
    wait_for("events are taken", lambda: post(product, "room") == 202)
    file.rmdir()
    wait_for("the ready file", lambda: all(product.info["pids"][role] != before[role] for role in ("web", "kafka")))
    assert product.said.count("cannot be written") == product.said.count("cannot be started") == 1


def test_a_reaper_that_dies_is_missed_and_the_next_one_ends_the_parts(product: Dev) -> None:
    dev = product
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
