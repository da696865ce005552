# SPDX-License-Identifier: Apache-2.0
"""`evb dev` outlives a disk without room: what cannot be written or started is said and tried again."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.running import Dev, post, wait_for

pytestmark = pytest.mark.timeout(180)


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
