# SPDX-License-Identifier: Apache-2.0
"""With a real worker: a look-up that waits gets the final statuses, and the positions it names hold what it says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.web_under_test import Server, Tenant, free_port, make_tenants, web_server

HEADERS = {"ce-specversion": "1.0", "ce-source": "/looks", "ce-type": "look.wanted", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def served(stack: StackOfTests) -> Iterator[tuple[Server, Tenant]]:
    """A server and a worker with the plugins that ship with us."""
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server, worker(stack, settings):
        yield server, tenant


@contextlib.contextmanager
def worker(stack: StackOfTests, settings: Settings) -> Iterator[None]:
    """Run `evb worker`."""
    environ = {n: v for n, v in os.environ.items() if not n.startswith("EVB_")} | stack.environ(settings)
    process = subprocess.Popen([sys.executable, "-m", "bridge.cli", "worker"], env=environ, start_new_session=True)
    try:
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def record_at(settings: Settings, place: dict[str, object]) -> Message:
    """Read the record at a position that an answer names."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "unused"})
    try:
        consumer.assign([TopicPartition(str(place["topic"]), int(str(place["partition"])), int(str(place["offset"])))])
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None, message.error()
        return message
    finally:
        consumer.close()


@pytest.mark.parametrize("by_id", [False, True], ids=["by key", "by id"])
def test_a_waiting_look_up_answers_when_all_has_ended(served: tuple[Server, Tenant], by_id: bool) -> None:
    server, tenant = served
    body = b'{ "n": 123456789012345678901234567890 }'
    name = f"waited-{by_id}"
    receipt = server.ask("POST", "/events", body, X_API_KEY=tenant.key, ce_id=name, **HEADERS).json()
    path = f"/events?source=/looks&id={name}&wait=30" if by_id else f"/events/{receipt['key']}?wait=30"
    began = time.monotonic()
    shown = server.ask("GET", path, X_API_KEY=tenant.key).json()
    assert time.monotonic() - began < 14.5  # the client itself gives up at 15
    assert (shown["settled"], shown["status"], shown["accepted_at"]) == (True, "completed", receipt["accepted_at"])
    event = record_at(server.settings, shown["position"])
    assert event.value() == body
    (execution,) = [one for one in shown["executions"] if one["process"] == "record"]
    assert (execution["status"], execution["attempts"], execution["reason"]) == ("completed", 1, "")
    assert receipt["accepted_at"] <= execution["started_at"] <= execution["finished_at"]
    (result,) = execution["results"]
    headers = dict(record_at(server.settings, result).headers() or [])
    assert (headers["ce_id"].decode(), headers["ce_type"].decode()) == (result["id"], result["type"])
    assert headers["ce_causationid"].decode() == execution["execution_id"]
    assert result["partition"] == shown["position"]["partition"]
