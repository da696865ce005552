# SPDX-License-Identifier: Apache-2.0
"""The session and `post` against real servers on loopback: what is bounded, what nobody shares, what each failure is called."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from email.utils import formatdate
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bridge.egress.addresses import LOOPBACK, networks
from bridge.egress.client import BODY_BYTES, CONNECTIONS, CONNECTIONS_PER_HOST, session
from bridge.egress.errors import EgressError
from bridge.egress.post import Reply, post, retry_after
from tests.canaries import Names, listening
from tests.hostile_urls import NAMES
from tests.integration.certificates import Authority

OPEN = networks(LOOPBACK)


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_body_above_the_bound_is_not_read(encoding: str | None) -> None:
    def answer(size: int) -> web.Response:
        made = web.Response(body=b"x" * size)
        if encoding:
            made.enable_compression(web.ContentCoding.gzip)
        return made

    async with listening() as canary, session(OPEN) as http:
        canary.answer = lambda: answer(BODY_BYTES)
        async with http.get(f"http://127.0.0.1:{canary.port}/") as fits:
            assert len(await fits.read()) == len(await fits.text()) == BODY_BYTES
        canary.answer = lambda: answer(BODY_BYTES * 50)
        async with http.get(f"http://127.0.0.1:{canary.port}/") as bloated:
            with pytest.raises(EgressError, match=r"response-too-large: 127\.0\.0\.1"):
                await bloated.text()
        async with http.get(f"http://127.0.0.1:{canary.port}/") as in_pieces:
            assert sum([len(piece) async for piece in in_pieces.content.iter_any()]) == BODY_BYTES * 50


async def test_no_cookie_goes_from_one_tenant_to_another() -> None:
    async with listening() as canary, session(OPEN, resolver=Names(NAMES)) as http:
        canary.answer = lambda: web.Response(headers={"Set-Cookie": "session=of-acme"})
        for _ in range(2):
            await post(http, f"http://loop.example:{canary.port}/", b"", {}, 2)
    assert [one.headers.get("Cookie") for one in canary.requests] == [None, None]


async def test_the_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as canary, listening() as proxy, session(OPEN) as http:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await post(http, f"http://127.0.0.1:{canary.port}/", b"", {}, 2)
        assert (canary.visits, proxy.visits) == (1, 0)


async def test_what_was_answered() -> None:
    async with listening() as canary, session(OPEN) as http:
        canary.answer = lambda: web.Response(status=503, headers={"Retry-After": "17"}, body=b"x" * 1_000_000)
        reply = await post(http, f"http://127.0.0.1:{canary.port}/a?token=secret", b"x", {"ce-id": "1"}, 2)
        assert reply == Reply(f"127.0.0.1:{canary.port}", 503, 17.0, reply.ms)
        canary.answer = lambda: web.Response(status=308, headers={"Location": "/elsewhere"})
        assert (await post(http, f"http://127.0.0.1:{canary.port}/", b"", {}, 2)).status == 308
        assert [(one.path, one.body) for one in canary.requests] == [("/a?token=secret", b"x"), ("/", b"")]


def test_retry_after_is_seconds_or_a_date() -> None:
    now = time.time()
    assert [retry_after(text, now) for text in ("0", "120", " 5 ")] == [0, 120, 5]
    assert retry_after(formatdate(now + 60, usegmt=True), now) == pytest.approx(60, abs=1)
    assert retry_after(formatdate(now - 60, usegmt=True), now) == 0
    assert [retry_after(text, now) for text in ("", "soon", "-1", "1.5", "9" * 40, "٣")] == [None] * 6


async def failure(url: str, within_s: float = 2.0, names: dict[str, list[str]] = NAMES) -> EgressError:
    async with session(OPEN, resolver=Names(names)) as http:
        with pytest.raises(EgressError) as caught:
            await post(http, url, b"", {"Authorization": "Bearer sesame"}, within_s)
    assert not any(secret in str(caught.value) for secret in ("sesame", "token", "hooks"))
    return caught.value


async def test_each_failure_has_its_code_and_names_the_host_only() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        refused = await failure(f"http://127.0.0.1:{port}/hooks?token=1")
        assert refused.code == "connection-failed"
        assert refused.reason == f"127.0.0.1:{port}: Connection refused"
        unused.listen()
        silent = await failure(f"http://127.0.0.1:{port}/hooks?token=1", 0.2)
        assert (silent.code, silent.reason) == ("timeout", f"127.0.0.1:{port} did not answer in time")
    unknown = await failure("http://nowhere.example/hooks?token=1")
    assert (unknown.code, unknown.reason) == ("unresolvable", "nowhere.example:80: the name has no address")
    closed = await failure("http://private.example/hooks?token=1")
    assert closed.code == "address-not-allowed"
    assert closed.reason == "private.example (10.0.0.5) is not a public address, nor of EVB_EGRESS_ALLOWED_NETWORKS"
    assert (await failure("ftp://shop.example/hooks?token=1")).code == "invalid-url"


async def test_a_connection_that_breaks_off() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        broken = await failure(f"http://127.0.0.1:{port}/hooks?token=1")
    assert broken.code == "connection-failed"


async def test_a_silent_host_holds_some_connections_and_not_all() -> None:
    full, connections = asyncio.Event(), 0

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == CONNECTIONS_PER_HOST:
            full.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as silent, listening() as canary, session(OPEN) as http:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
        waiting = [asyncio.create_task(post(http, url, b"", {}, 30)) for _ in range(CONNECTIONS + 10)]
        await full.wait()
        for _ in range(20):
            assert (await post(http, f"http://127.0.0.1:{canary.port}/", b"", {}, 5)).status == 200
        assert connections == CONNECTIONS_PER_HOST
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path, "nobody's").issue("shop"))

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("an unverified server was spoken to")

    async with await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        distrusted = await failure(f"https://127.0.0.1:{port}/hooks?token=1")
    assert distrusted.code == "tls-failed"
    assert "certificate verify failed" in distrusted.reason


def test_the_error_is_one_that_plugins_catch_already() -> None:
    assert issubclass(EgressError, aiohttp.ClientError)
