# SPDX-License-Identifier: Apache-2.0
"""The pipe on a real Valkey: how it gets in, that replies find their owners, and that trouble is told within the time-out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import hiredis
import pytest
import redis
import structlog

from bridge.domain.errors import ViewUnavailable
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import Script, script
from bridge.settings import Redis
from tests.integration.certificates import Authority
from tests.integration.tls_relay import tls_relay
from tests.integration.valkey import OwnValkey
from tests.integration.view_facts import until

PATIENT = 20_000
"""Milliseconds for commands that a busy machine may keep waiting."""

LOGIN = "evb:p%40ss%2F%3A@"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnValkey]:
    """A server that lets in only one user, on a port and a socket."""
    folder = tmp_path_factory.mktemp("valkey")
    user = ("--user", "default", "off", "--user", "evb", "on", ">p@ss/:", "~*", "&*", "+@all")
    busy = ("--busy-reply-threshold", "20")
    url = f"redis://{LOGIN}127.0.0.1:" + "{port}/0"
    server = OwnValkey(folder, *user, *busy, "--unixsocket", "{folder}/v.sock", url=url)
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _runs(valkey: OwnValkey) -> Iterator[None]:
    """Start again what a test killed."""
    yield
    if valkey.process is None:
        valkey.start()


@asynccontextmanager
async def piped(settings: Redis) -> AsyncIterator[Pipe]:
    pipe = Pipe(settings, asyncio.get_running_loop())
    try:
        yield pipe
    finally:
        await pipe.close()


@asynccontextmanager
async def connected(settings: Redis) -> AsyncIterator[Pipe]:
    async with piped(settings) as pipe:
        assert await pipe.wait_connected(15)
        yield pipe


async def settled(condition: object) -> None:
    assert callable(condition)

    async def look() -> bool:
        return bool(condition())

    await until(look)


# --- getting in ---


async def who(settings: Redis) -> tuple[bytes, bytes]:
    """Give the user and the database that the server has us as."""
    async with connected(settings) as pipe:
        information = await pipe.call("CLIENT", "INFO")
        words = dict(word.split(b"=", 1) for word in information.split())
        return words[b"user"], words[b"db"]


async def test_it_says_who_it_is_and_chooses_its_database(valkey: OwnValkey) -> None:
    host = f"127.0.0.1:{valkey.port}"
    assert await who(valkey.settings(url=f"redis://{LOGIN}{host}/3")) == (b"evb", b"3")
    assert await who(valkey.settings(url=f"redis://{host}?username=evb&password=p%40ss%2F%3A")) == (b"evb", b"0")
    assert await who(valkey.settings(url=f"unix://{LOGIN}{valkey.folder}/v.sock?db=2")) == (b"evb", b"2")


async def test_it_speaks_tls_to_a_server_that_it_can_trust(valkey: OwnValkey, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path, "ca"), Authority(tmp_path, "stranger")
    with tls_relay(valkey.port, *authority.issue("valkey")) as port:
        url = f"rediss://{LOGIN}127.0.0.1:{port}/1"
        assert await who(Redis.model_validate({"url": url, "ssl_ca_file": str(authority.ca)})) == (b"evb", b"1")
        with structlog.testing.capture_logs() as said:
            async with piped(Redis.model_validate({"url": url, "ssl_ca_file": str(stranger.ca)})) as pipe:
                await settled(lambda: any("CERTIFICATE_VERIFY_FAILED" in line["event"] for line in said))
                assert not pipe.connected


@pytest.mark.parametrize("login", ["evb:wrong@", ":p%40ss%2F%3A@", ""])
async def test_who_is_not_let_in_says_so_without_the_password(valkey: OwnValkey, login: str) -> None:
    with structlog.testing.capture_logs() as said:
        async with piped(valkey.settings(url=f"redis://{login}127.0.0.1:{valkey.port}")) as pipe:
            await settled(lambda: said)
            assert not pipe.connected
            with pytest.raises(ViewUnavailable, match="not connected"):
                await pipe.call("PING")
    assert {line["event"].split(":")[0] for line in said} == {"cannot reach Redis"}
    assert any(word in said[0]["event"] for word in ("WRONGPASS", "NOAUTH"))
    assert not any(word in str(said) for word in ("wrong@", "p%40ss", "p@ss"))
    assert len(said) == 1, "a state is said once, not once an attempt"


# --- replies ---


async def test_thousands_of_calls_at_once_get_their_own_replies(valkey: OwnValkey) -> None:
    async with connected(valkey.settings(timeout_ms=PATIENT)) as pipe:
        calls = [pipe.call("ECHO", n) if n % 3 else pipe.call("MGET", f"none-{n}", "nor") for n in range(9000)]
        scripts = [pipe.script(ADDED, ("k",), (n,)) for n in range(1000)]
        faults = [pipe.call("NONSENSE", n) for n in range(100)]
        replies = await asyncio.gather(*calls, *scripts, *faults, return_exceptions=True)
    assert replies[:9000] == [str(n).encode() if n % 3 else [None, None] for n in range(9000)]
    assert replies[9000:10_000] == [n + 1 for n in range(1000)]
    assert all(isinstance(reply, hiredis.ReplyError) for reply in replies[10_000:])


def _script(source: bytes) -> Script:
    return Script("test", source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


ADDED = _script(b"return ARGV[1] + 1")
"""A script that no server has before a test calls it."""


async def test_a_server_that_forgot_the_scripts_gets_them_again(valkey: OwnValkey) -> None:
    async with connected(valkey.settings(timeout_ms=PATIENT)) as pipe:
        ours = script("keep_lock")
        assert await pipe.call("SCRIPT", "EXISTS", ours.sha) == [1], "loaded with the greeting"
        replies = await asyncio.gather(
            pipe.script(ours, ("lock",), ("mine", 1000)),
            pipe.call("SCRIPT", "FLUSH"),
            *(pipe.script(ADDED, (), (n,)) for n in range(500)),
            pipe.call("SCRIPT", "FLUSH"),
            *(pipe.script(ADDED, (), (n,)) for n in range(500, 1000)),
            pipe.script(ours, ("lock",), ("mine", 1000)),
        )
        assert replies[2:502] + replies[503:1003] == [n + 1 for n in range(1000)]
        assert replies[0] == replies[-1]


async def test_the_hooks_commands_go_out_first_after_every_connect(valkey: OwnValkey) -> None:
    lost: list[bool] = []
    async with piped(valkey.settings(timeout_ms=PATIENT)) as pipe:
        pipe.on_connect(lambda: pipe.send(("APPEND", "order", "h")))
        pipe.on_lost(lambda: lost.append(pipe.connected))
        for _ in range(2):
            assert await pipe.wait_connected(15)
            await pipe.call("APPEND", "order", "w")
            before = len(lost)
            pipe.drop("a test wants it")
            await settled(lambda before=before: len(lost) > before)
        assert await pipe.wait_connected(15)
        assert await pipe.call("GETDEL", "order") == b"hwhwh"
    assert lost == [False, False, False], "the last one is the end"


# --- trouble ---


async def test_calls_to_a_silent_server_fail_within_the_time_out(valkey: OwnValkey) -> None:
    async with connected(valkey.settings(timeout_ms=300)) as pipe:
        loop = asyncio.get_running_loop()
        valkey.freeze()
        try:
            began = loop.time()
            replies = await asyncio.gather(*(pipe.call("ECHO", n) for n in range(100)), return_exceptions=True)
            assert 0.3 <= loop.time() - began < 5
        finally:
            valkey.thaw()
        assert {str(reply) for reply in replies} == {"Redis did not answer: no reply within 0.3 s."}
        assert {type(reply) for reply in replies} == {ViewUnavailable}
        assert await pipe.wait_connected(15)
        assert await pipe.call("ECHO", "again") == b"again", "no late reply reaches another's call"


async def test_a_killed_server_fails_its_calls_and_its_successor_is_found(valkey: OwnValkey) -> None:
    async with connected(valkey.settings(timeout_ms=PATIENT)) as pipe:
        first = pipe.run_id
        valkey.freeze()
        calls = [asyncio.ensure_future(pipe.call("ECHO", n)) for n in range(1000)]
        await asyncio.sleep(0)
        valkey.kill()
        replies = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        assert {type(reply) for reply in replies} == {ViewUnavailable}
        assert not pipe.connected
        with pytest.raises(ViewUnavailable, match="not connected"):
            await pipe.call("PING")
        await asyncio.to_thread(valkey.start)
        assert await pipe.wait_connected(15)
        assert pipe.run_id not in ("", first)
        assert await pipe.call("PING") == b"PONG"


async def test_a_server_that_is_busy_with_a_script_is_unavailable_and_not_left(valkey: OwnValkey) -> None:
    async with connected(valkey.settings(timeout_ms=PATIENT)) as pipe:
        lost: list[bool] = []
        pipe.on_lost(lambda: lost.append(True))
        async with endless_script(valkey):
            with pytest.raises(ViewUnavailable, match="cannot serve now: BUSY"):
                await until(lambda: _refused(pipe))  # once the script has run for longer than the server bears in silence
            with structlog.testing.capture_logs() as said:
                late = Pipe(valkey.settings(timeout_ms=PATIENT), asyncio.get_running_loop())
                await settled(lambda: any("BUSY" in line["event"] for line in said))
                assert not late.connected
        assert await late.wait_connected(15)
        await late.close()
        assert await pipe.call("PING") == b"PONG"
        assert not lost


async def _refused(pipe: Pipe) -> bool:
    await pipe.call("PING")
    return False


@asynccontextmanager
async def endless_script(valkey: OwnValkey) -> AsyncIterator[None]:
    """Keep a server busy; on leaving, the script is killed, and the server where that fails."""
    with valkey.client() as client, valkey.client() as killer:
        running = asyncio.create_task(asyncio.to_thread(client.execute_command, "EVAL", "while true do end", 0))
        try:
            yield
            killer.execute_command("SCRIPT", "KILL")
            with pytest.raises(redis.ResponseError, match="killed"):
                await running
        finally:
            if not running.done():
                valkey.kill()
                await asyncio.wait([running])


async def test_a_server_that_still_loads_its_data_is_waited_for(tmp_path: Path) -> None:
    server = OwnValkey(tmp_path)
    try:
        server.start()
        with server.client() as outside, outside.pipeline(transaction=False) as filling:
            for n in range(2000):
                filling.set(f"key:{n}", "x" * 1000)
            filling.execute()
            outside.save()
        server.kill()
        server.options = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        with structlog.testing.capture_logs() as said:
            async with piped(server.settings(timeout_ms=PATIENT)) as pipe:
                await asyncio.to_thread(server.start)
                assert await pipe.wait_connected(15)
                assert await pipe.call("DBSIZE") == 2000
        assert any("LOADING" in line["event"] for line in said)
    finally:
        server.kill()


GREETINGS = {
    "closes": b"",
    "half": b"+OK\r\n$40\r\nb1946ac9",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "unasked": b"+OK\r\n" * 100,
}


@pytest.mark.parametrize("greeting", GREETINGS)
async def test_a_server_that_ends_the_handshake_half_way_is_dialled_again(tmp_path: Path, greeting: str) -> None:
    server, served = OwnValkey(tmp_path), asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(GREETINGS[greeting])
        writer.close()
        served.release()

    listening = await asyncio.start_server(serve, "127.0.0.1", server.port)
    try:
        with structlog.testing.capture_logs() as said:
            async with piped(server.settings(timeout_ms=PATIENT)) as pipe:
                for _ in range(3):
                    await asyncio.wait_for(served.acquire(), 15)
                    assert not pipe.connected
                listening.close()
                await asyncio.to_thread(server.start)
                assert await pipe.wait_connected(15)
                assert await pipe.call("ECHO", "after all") == b"after all"
        assert greeting not in ("http", "unasked") or any("does not speak Redis' protocol" in line["event"] for line in said)
    finally:
        listening.close()
        server.kill()


async def test_a_server_that_accepts_and_never_speaks_is_given_up(valkey: OwnValkey) -> None:
    valkey.freeze()
    try:
        with structlog.testing.capture_logs() as said:
            async with piped(valkey.settings(timeout_ms=200)) as pipe:
                await settled(lambda: any("no reply within 0.2 s" in line["event"] for line in said))
                assert not await pipe.wait_connected(0.1)
                valkey.thaw()
                assert await pipe.wait_connected(15)
    finally:
        valkey.thaw()
