# SPDX-License-Identifier: Apache-2.0
"""
URLs that try to reach what only we can reach: not one socket is connected for any of them.

Two canaries listen on loopback; besides, the interpreter itself reports every connect(2) and every look-up of a name.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from bridge.egress import client
from bridge.egress.addresses import LOOPBACK, Networks, is_open, networks
from bridge.egress.client import session
from bridge.egress.errors import EgressError
from tests.canaries import Canary, Names, listening
from tests.hostile_urls import NAMES, URLS

CONNECTED: list[Any] = []
LOOKED_UP: list[Any] = []
watching = False


def _audit(name: str, arguments: tuple[Any, ...]) -> None:
    if watching and name == "socket.connect":
        CONNECTED.append(arguments[1])
    elif watching and name == "socket.getaddrinfo" and arguments[0] not in (None, "127.0.0.1", "::1"):
        LOOKED_UP.append(arguments[0])


sys.addaudithook(_audit)  # cannot be taken off again, hence `watching`


@pytest.fixture
def watched() -> Iterator[list[Any]]:
    """What is connected to from here on."""
    global watching
    CONNECTED.clear()
    LOOKED_UP.clear()
    watching = True
    yield CONNECTED
    watching = False


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_socket_is_opened_for_any_of_the_urls(loop: Callable[[], asyncio.AbstractEventLoop], watched: list[Any]) -> None:
    """On Python's loop and on the worker's."""
    assert len(set(URLS)) == len(URLS) >= 120
    with asyncio.Runner(loop_factory=loop) as runner:
        reached, visits = runner.run(tried())
    assert (reached, visits, watched) == ([], 0, [])
    assert LOOKED_UP == [], "the system was asked for a name, or made an address of a number"


async def tried() -> tuple[list[str], int]:
    """Try every URL; gives those that were answered, and how often the canaries were visited."""
    async with both_loopbacks() as canaries, session((), resolver=Names(NAMES)) as http:
        reached = [url for url in URLS if await answered(http, url.replace("{port}", str(canaries[0].port)))]
        return reached, sum(canary.visits for canary in canaries)


@asynccontextmanager
async def both_loopbacks() -> AsyncIterator[list[Canary]]:
    """Canaries on one port of both loopback addresses; of one where the machine has no IPv6."""
    async with AsyncExitStack() as held:
        first = await held.enter_async_context(listening())
        yield [first, await held.enter_async_context(listening("::1", first.port))] if has_ipv6() else [first]


async def answered(http: aiohttp.ClientSession, url: str) -> bool:
    """Say whether anything answers; not in time is no refusal."""
    try:
        async with http.get(url):
            return True
    except TimeoutError:
        return True
    except (aiohttp.ClientError, OSError, ValueError):
        return False


async def test_the_same_urls_reach_the_canaries_without_the_guard(watched: list[Any]) -> None:
    """The suite can fail: a plain session connects for many of them."""
    connector = aiohttp.TCPConnector(resolver=Names(NAMES))
    async with listening() as canary, aiohttp.ClientSession(connector=connector) as http:
        for url in ("http://127.0.0.1:{port}/", "http://loop.example:{port}/", "http://xn--bcher-kva.example:{port}/"):
            assert await answered(http, url.replace("{port}", str(canary.port)))
    assert (canary.visits, len(watched)) == (3, 3)


@pytest.mark.parametrize("kind", ["allowed network", "name in it"])
async def test_an_allowed_network_is_reached(kind: str) -> None:
    async with listening() as canary, session(networks(LOOPBACK), resolver=Names(NAMES)) as http:
        host = {"allowed network": "127.0.0.1", "name in it": "loop.example"}[kind]
        async with http.post(f"http://{host}:{canary.port}/hook", data=b"x") as answer:
            assert (answer.status, await answer.text()) == (200, "here")
    assert [one.path for one in canary.requests] == ["/hook"]


async def test_a_name_that_changes_its_address_is_asked_once_and_judged_anew(watched: list[Any]) -> None:
    """127.0.0.2 stands for a public address. Whoever checks one answer and connects by another ends in the canary."""
    names = Names({"shop.example": ["127.0.0.2"]}, {"shop.example": ["127.0.0.1"]})
    async with listening("127.0.0.2") as shop, listening("127.0.0.1", shop.port) as canary:
        async with session(networks("127.0.0.2/32"), resolver=names) as http:
            assert http.connector is not None
            url = f"http://shop.example:{shop.port}/"
            async with http.get(url, headers={"Connection": "close"}) as answer:
                assert answer.status == 200
            assert (names.asked, shop.visits, watched) == (1, 1, [("127.0.0.2", shop.port)])
            http.connector.clear_dns_cache()  # type: ignore[attr-defined]  # it is a TCPConnector
            with pytest.raises(EgressError, match=r"address-not-allowed: shop\.example \(127\.0\.0\.1\) is not a public address"):
                await http.get(url)
        assert (names.asked, canary.visits, watched) == (2, 0, [("127.0.0.2", shop.port)])


async def test_of_several_addresses_the_closed_ones_are_left_out(watched: list[Any]) -> None:
    names = Names({"shop.example": ["127.0.0.1", "10.0.0.1", "127.0.0.2"]})
    allowed = networks("127.0.0.2/32")
    async with (
        listening("127.0.0.2") as shop,
        listening("127.0.0.1", shop.port) as canary,
        session(allowed, resolver=names) as http,
    ):
        await http.get(f"http://shop.example:{shop.port}/")
    assert (shop.visits, canary.visits, watched) == (1, 0, [("127.0.0.2", shop.port)])


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "http://2130706433:{port}/"])
async def test_a_url_is_judged_where_its_address_is_open(url: str, watched: list[Any]) -> None:
    async with listening() as canary, session(networks(LOOPBACK), resolver=Names(NAMES)) as http:
        with pytest.raises(EgressError, match="invalid-url"):
            await http.get(url.replace("{port}", str(canary.port)))
    assert (canary.visits, watched) == (0, [])


async def test_no_socket_is_made_where_a_resolver_lets_one_through(watched: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "OpenResolver", lambda inner, allowed: inner)
    async with listening() as canary, session((), resolver=Names(NAMES)) as http:
        with pytest.raises(aiohttp.ClientConnectorError, match="not allowed"):
            await http.get(f"http://loop.example:{canary.port}/")
    assert (canary.visits, watched) == (0, [])


async def test_nothing_is_written_to_a_peer_that_is_closed_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where something between us and the network connects elsewhere: the third judgement is of the connected peer."""
    judged: list[str] = []

    def twice(address: str, allowed: Networks) -> bool:
        judged.append(address)
        return len(judged) < 3 or is_open(address, allowed)

    monkeypatch.setattr(client, "is_open", twice)
    async with listening() as canary, session((), resolver=Names(NAMES)) as http:
        with pytest.raises(EgressError, match="address-not-allowed"):
            await http.get(f"http://loop.example:{canary.port}/")
        assert judged == ["127.0.0.1"] * 3
        assert canary.visits == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    """Not even between allowed addresses: what a receiver wants posted elsewhere is configured there."""
    async with listening() as first, listening() as second, session(networks(LOOPBACK)) as http:
        first.answer = lambda: web.Response(status=status, headers={"Location": f"http://127.0.0.1:{second.port}/"})
        url = f"http://127.0.0.1:{first.port}/"
        with pytest.raises(EgressError, match=f"redirect-not-followed: 127.0.0.1 answered {status}"):
            await http.get(url)
        async with http.get(url, allow_redirects=False) as answer:
            assert answer.status == status
    assert (first.visits, second.visits) == (2, 0)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/", "http://loop.example:{port}/", "file:///etc/passwd", "//[::1]:{port}/"]
)
async def test_no_redirect_leads_to_a_closed_address(target: str, watched: list[Any]) -> None:
    names = Names({"shop.example": ["127.0.0.2"], "loop.example": ["127.0.0.1"]})
    async with listening("127.0.0.2") as shop, listening() as canary, session(networks("127.0.0.2/32"), resolver=names) as http:
        shop.answer = lambda: web.Response(status=302, headers={"Location": target.replace("{port}", str(canary.port))})
        with pytest.raises(EgressError, match="redirect-not-followed"):
            await http.get(f"http://shop.example:{shop.port}/")
    assert (shop.visits, canary.visits, watched) == (1, 0, [("127.0.0.2", shop.port)])
