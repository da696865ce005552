# SPDX-License-Identifier: Apache-2.0
"""`evb web` as processes: how it starts without Kafka, ends, dies, comes back, and counts over several workers."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
import time

import psutil

from bridge.kafka.admin import ensure_topics
from tests.conftest import StackOfTests
from tests.integration.doors import stored
from tests.web_under_test import Server, Tenant, free_port, make_tenants, until, web_server

EVENT = b'{"event_source":"s","event_type":"t","payload":1}'


def submit(server: Server, tenant: Tenant) -> int:
    return server.ask("POST", "/fx/events", EVENT, X_API_KEY=tenant.key, Content_Type="application/json").status


def workers_of(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def test_sigterm_sends_what_is_on_its_way(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert submit(server, tenant) == 202
        stack.kafka.freeze()
        waiting = [pool.submit(submit, server, tenant) for _ in range(8)]
        until(lambda: b"evb_ingress_requests_in_progress 9.0" in server.ask("GET", "/metrics").body)  # eight, and this one
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        until(lambda: refused(server))
        stack.kafka.thaw()
        assert [one.result() for one in waiting] == [202] * 8
        assert server.process.wait(12) == 0
        assert time.monotonic() - began < 10
    assert len(stored(settings)) == 9


def refused(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.settings.port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_client_that_left_has_its_event_stored(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server:
        stack.kafka.freeze()
        with socket.create_connection(("127.0.0.1", settings.port)) as connection:
            head = f"POST /fx/events HTTP/1.1\r\nHost: x\r\nX-API-KEY: {tenant.key}\r\nContent-Length: {len(EVENT)}\r\n\r\n"
            connection.sendall(head.encode() + EVENT)
            until(lambda: b"evb_ingress_requests_in_progress 2.0" in server.ask("GET", "/metrics").body)
        stack.kafka.thaw()
        until(lambda: len(stored(settings)) == 1)


def test_no_worker_outlives_a_killed_server(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port(), web_workers=2)
    with web_server(stack, settings) as server:
        workers = workers_of(server)
        assert len(workers) >= 2
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=12)
        assert not alive


def test_a_crashed_worker_comes_back_and_counts_are_shared(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port(), web_workers=2)
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server:
        until(lambda: all(submit(server, tenant) == 202 for _ in range(10)))
        before = accepted(server)
        assert before >= 10
        first = next(one for one in workers_of(server) if one.pid != server.process.pid)
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: len([one for one in workers_of(server) if one.pid != first.pid]) >= 2, 20)
        server.wait_ready()
        until(lambda: submit_or_reset(server, tenant) == 202, 20)
        until(lambda: accepted(server) > before)
        until(lambda: b"evb_ingress_requests_in_progress 1.0" in server.ask("GET", "/metrics").body)


def submit_or_reset(server: Server, tenant: Tenant) -> int:
    try:
        return submit(server, tenant)
    except ConnectionError:
        return 0


def accepted(server: Server) -> float:
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("evb_events_accepted_total "))


def test_it_starts_before_kafka_and_says_so(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    ensure_topics(settings)
    stack.kafka.freeze()
    server = Server(stack, settings)
    try:
        until(lambda: not refused(server), 20)
        assert server.ask("GET", "/livez").status == 200
        waiting = server.ask("GET", "/readyz")
        assert (waiting.status, waiting.headers["retry-after"]) == (503, "1")
        assert server.ask("POST", "/fx/events", EVENT, X_API_KEY="any").status == 503
        stack.kafka.thaw()
        server.wait_ready()
        assert server.ask("POST", "/fx/events", EVENT, X_API_KEY="any").status == 401
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()


def test_it_can_be_stopped_while_it_waits_for_kafka(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    ensure_topics(settings)
    stack.kafka.freeze()
    server = Server(stack, settings)
    until(lambda: not refused(server), 20)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5


def test_readiness_follows_kafka_and_tells_of_redis(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server:
        stack.valkey.kill()
        until(lambda: b"[-] redis" in server.ask("GET", "/readyz?verbose").body)
        told = server.ask("GET", "/readyz?verbose")
        assert told.status == 200
        assert b"[-] limiter" in told.body
        assert submit(server, tenant) == 202
        assert b"evb_limiter_degraded 1.0" in server.ask("GET", "/metrics").body
        stack.valkey.start()
        until(lambda: b"[+] redis" in server.ask("GET", "/readyz?verbose").body)
        assert b"[+] registry is read; no worker has announced its processes" in server.ask("GET", "/readyz?verbose").body
        stack.kafka.freeze()
        until(lambda: server.ask("GET", "/readyz").status == 503, 20)
        assert server.ask("GET", "/livez").status == 200
        stack.kafka.thaw()
        until(lambda: server.ask("GET", "/readyz").status == 200, 20)
