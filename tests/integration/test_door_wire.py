# SPDX-License-Identifier: Apache-2.0
"""The RSGI door on the wire: odd, hostile and slow requests on raw sockets. Bad input is never a 5xx and never a hang."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import orjson
import pytest

from tests.conftest import StackOfTests
from tests.web_under_test import Server, Tenant, free_port, make_tenants, until, web_server

EVENT = b'{"event_source":"s","event_type":"t","payload":1}'
READ_S = 1.5


@pytest.fixture(scope="module")
def server(stack: StackOfTests) -> Iterator[Server]:
    with web_server(stack, stack.settings(port=free_port(), read_timeout_s=READ_S)) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    (made,) = make_tenants(server.settings, "demo")
    until(lambda: server.ask("GET", "/fx/cid/x", X_API_KEY=made.key).status == 404)
    return made


def talk(server: Server, raw: bytes, timeout_s: float = 10.0) -> tuple[list[int], bytes, bool]:
    """Send bytes and read until the server closes or a second passes in silence: the statuses, all that came, and who closed."""
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=timeout_s) as connection:
        connection.sendall(raw)
        came, closed = b"", False
        while not closed:
            connection.settimeout(1.0 if complete(came) else timeout_s)
            try:
                chunk = connection.recv(65_536)
            except TimeoutError:
                break
            except ConnectionResetError:
                chunk = b""
            came, closed = came + chunk, not chunk
    statuses = [int(line[9:12]) for line in came.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    statuses += [int(part[:3]) for part in came.split(b"}HTTP/1.1 ")[1:]]
    return statuses, came, closed


def complete(came: bytes) -> bool:
    return b"\r\n\r\n" in came and not came.startswith(b"HTTP/1.1 100")


def post(tenant: Tenant, body: bytes = EVENT, path: bytes = b"/fx/events", *more: bytes, length: bytes | None = None) -> bytes:
    lines = [
        b"POST " + path + b" HTTP/1.1",
        b"Host: bridge",
        b"X-API-KEY: " + tenant.key.encode(),
        b"Content-Type: application/json",
        *([b"Content-Length: " + (str(len(body)).encode() if length is None else length)] if length != b"none" else []),
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_a_plain_post_works(server: Server, tenant: Tenant) -> None:
    statuses, _, closed = talk(server, post(tenant))
    assert (statuses, closed) == ([202], False)


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (lambda t: post(t, b"1\r\na\r\n0\r\n\r\n", b"/fx/events", CHUNKED, length=b"none"), 411),
        (lambda t: post(t, b"1\r\na\r\n0\r\n\r\n", b"/fx/events", CHUNKED), 411),
        (lambda t: post(t, b"", length=b"none"), 411),
        (lambda t: post(t, EVENT, b"/fx/events", b"Content-Length: 7"), 400),
        (lambda t: post(t, EVENT, length=b"49, 49"), 400),
        (lambda t: post(t, EVENT, length=b"+49"), 400),
        (lambda t: post(t, EVENT, length=b"-1"), 400),
        (lambda t: post(t, EVENT, length=b"0x31"), 400),
        (lambda t: post(t, EVENT, length=b"99999999999999999999999"), 400),
        (lambda t: post(t, b"", length=b"9999999"), 413),
        (lambda t: post(t, b"", b"/fx/events", b"Expect: 100-continue", length=b"9999999"), 413),
        (lambda t: post(t, EVENT, b"/fx/events", b"X-Note: \xc3\xa4"), 400),
        (lambda t: post(t, EVENT, b"/fx/events", b"X-Note: \xff"), 400),
        (lambda t: post(t, EVENT, b"/fx/events", b"Bad Name: a"), 400),
        (lambda t: post(t, EVENT, b"//fx/events"), 404),
        (lambda t: post(t, EVENT, b"/fx/events/"), 404),
        (lambda t: post(t, EVENT, b"/fx/eve%ffnts"), 400),
        (lambda t: post(t, EVENT, b"/fx/events%00"), 400),
        (lambda t: post(t, EVENT, b"/" + b"a" * 100_000), 414),
        (lambda t: post(t, EVENT, b"/fx/events", b"X-Long: " + b"a" * 400_000), 431),
        (lambda t: post(t, EVENT, b"/fx/events", *(b"X-%d: a" % n for n in range(200))), 431),
        (lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None),
        (lambda _: b"nonsense\r\n\r\n", 400),
        (lambda _: b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (lambda _: b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (lambda _: b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (lambda _: b"BREW /fx/events HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (lambda _: b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (lambda t: b"GET /fx/cid/a HTTP/1.1\r\nContent-Length: 1\r\nX-API-KEY: " + t.key.encode() + b"\r\n\r\n1", 400),
    ],
)
def test_odd_requests(server: Server, tenant: Tenant, raw: object, status: int | None) -> None:
    statuses, came, _ = talk(server, raw(tenant))  # type: ignore[operator]  # a function of the tenant
    assert statuses == ([status] if status else statuses), came[:300]
    assert all(found < 500 for found in statuses)
    if b"problem+json" in came:
        body = orjson.loads(came.partition(b"\r\n\r\n")[2])
        assert body["status"] == status
        assert body["request_id"]
    assert server.ask("GET", "/livez").status == 200


@pytest.mark.parametrize("path", [b"http://elsewhere.example/fx/events", b"/fx%2Fevents"])
def test_other_spellings_of_a_path(server: Server, tenant: Tenant, path: bytes) -> None:
    assert talk(server, post(tenant, EVENT, path))[0] == [202]


def test_pipelined_requests_are_answered_in_order(server: Server, tenant: Tenant) -> None:
    statuses, came, closed = talk(server, post(tenant) + post(tenant, b"[]") + post(tenant))
    assert statuses == [202, 400, 202]
    assert not closed, came


def test_a_client_that_asks_first_is_told_to_go_on(server: Server, tenant: Tenant) -> None:
    head = post(tenant, b"", b"/fx/events", b"Expect: 100-continue", length=str(len(EVENT)).encode())
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(EVENT)
        assert connection.recv(1000).startswith(b"HTTP/1.1 202")


def test_a_slow_body_is_cut_with_408_and_slow_headers_by_closing(server: Server, tenant: Tenant) -> None:
    began = time.monotonic()
    statuses, came, closed = talk(server, post(tenant, EVENT[:10], length=b"49"))
    assert (statuses, closed) == ([408], True), came
    assert READ_S <= time.monotonic() - began < READ_S + 1
    began = time.monotonic()
    _, _, closed = talk(server, b"POST /fx/events HTTP/1.1\r\nHost: x\r\n")
    assert closed
    assert READ_S <= time.monotonic() - began < READ_S + 1


def test_a_client_that_leaves_is_counted_and_harms_nobody(server: Server, tenant: Tenant) -> None:
    with socket.create_connection(("127.0.0.1", server.settings.port)) as connection:
        connection.sendall(post(tenant, EVENT[:10], length=b"49"))
    counted = b'evb_ingress_requests_total{code="499",dialect="fx"} 1.0'
    until(lambda: counted in server.ask("GET", "/metrics").body)
    until(lambda: b"evb_ingress_requests_in_progress 1.0" in server.ask("GET", "/metrics").body)  # the one that asks


def test_a_thousand_slow_clients_do_not_disturb_the_others(server: Server, tenant: Tenant) -> None:
    alone = median_of_posts(server, tenant)
    slow = [socket.create_connection(("127.0.0.1", server.settings.port)) for _ in range(1000)]
    try:
        for index, connection in enumerate(slow):
            raw = post(tenant, EVENT[:10], length=b"49") if index % 2 else b"POST /fx/events HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(raw)
        beside = median_of_posts(server, tenant)
        assert beside < max(0.05, 2 * alone), (alone, beside)  # the second: on a busy machine everything is slow
    finally:
        ends = [end_of(connection) for connection in slow]
    assert sum(end.startswith(b"HTTP/1.1 408") for end in ends) == 500
    assert sum(end == b"" for end in ends) == 500


def median_of_posts(server: Server, tenant: Tenant) -> float:
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert talk_once(server, post(tenant)).startswith(b"HTTP/1.1 202")
        took.append(time.perf_counter() - began)
    return sorted(took)[10]


def talk_once(server: Server, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=10) as connection:
        connection.sendall(raw)
        return connection.recv(4096)


def end_of(connection: socket.socket) -> bytes:
    connection.settimeout(READ_S + 5)
    with connection:
        try:
            return connection.recv(4096)
        except ConnectionResetError:
            return b""
