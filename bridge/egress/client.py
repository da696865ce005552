# SPDX-License-Identifier: Apache-2.0
"""
The HTTP client for addresses that others chose: an aiohttp session that reaches only what is open to us.

A name is resolved once, its closed addresses are dropped, and a socket is made for nothing but an open address; before the
request is written, the connected peer is judged once more. No redirect is followed, no cookie kept, no proxy taken from the
environment. Made by `processors.attempts.contexts` for all plugins of a worker, and by `bridge.sdk.testing`.
"""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bridge.egress.addresses import Networks, is_open
from bridge.egress.errors import EgressError
from bridge.egress.urls import check, not_allowed

BODY_BYTES: Final = 65_536
"""Most of a response that is read at once; who wants more takes it in pieces from `response.content`."""

CONNECTIONS, CONNECTIONS_PER_HOST = 256, 32
"""A host that hangs does not hold every connection, and all together leave file descriptors for the rest of the worker."""

TOTAL_S, CONNECT_S = 5.0, 2.0


def session(allowed: Networks, *, total_s: float = TOTAL_S, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """Make a session, on the running loop; whoever asks closes it. `allowed`: networks that are open beside public addresses."""
    connector = aiohttp.TCPConnector(
        resolver=OpenResolver(resolver or aiohttp.DefaultResolver(), allowed),
        socket_factory=_sockets(allowed),
        limit=CONNECTIONS,
        limit_per_host=CONNECTIONS_PER_HOST,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "event-bridge"},
        request_class=_requests(allowed),
        response_class=BoundedResponse,
        timeout=aiohttp.ClientTimeout(total=total_s, connect=CONNECT_S),
        trace_configs=[_rules(allowed)],
        trust_env=False,
    )


class OpenResolver(AbstractResolver):
    """Resolves with another resolver, and drops what is closed."""

    def __init__(self, inner: AbstractResolver, allowed: Networks) -> None:
        self._inner, self._allowed = inner, allowed

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Give the open addresses of a host. Raises: EgressError where none is; OSError where there is none at all."""
        found = await self._inner.resolve(host, port, family)
        kept = [one for one in found if is_open(one["host"], self._allowed)]
        if found and not kept:
            raise not_allowed(host, found[0]["host"])
        return kept

    async def close(self) -> None:
        """Close the other resolver."""
        await self._inner.close()


class BoundedResponse(aiohttp.ClientResponse):
    """A response whose `read`, `text` and `json` take a bounded body."""

    async def read(self) -> bytes:
        """Read the body. Raises: EgressError `response-too-large`, as soon as it is."""
        if self._body is None:
            body = bytearray()
            try:
                async for piece in self.content.iter_any():
                    body += piece
                    if len(body) > BODY_BYTES:
                        reason = f"{self.url.host} answered more than {BODY_BYTES} bytes; read them in pieces from content"
                        raise EgressError("response-too-large", reason)
            except BaseException:
                self.close()
                raise
            self._body = bytes(body)
        return await super().read()


def _sockets(allowed: Networks) -> aiohttp.SocketFactoryType:
    def make(info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one address, which is connected to that address and no other."""
        family, kind, proto, _, address = info
        if not is_open(str(address[0]), allowed):
            raise PermissionError(errno.EACCES, "the address is not allowed")
        return socket.socket(family, kind, proto)

    return make


def _requests(allowed: Networks) -> type[aiohttp.ClientRequest]:
    class Request(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> aiohttp.ClientResponse:
            """Write the request, if the peer is open after all."""
            peer = conn.transport and conn.transport.get_extra_info("peername")
            if not peer or not is_open(peer[0], allowed):
                raise not_allowed(self.host, peer[0] if peer else "")
            return await super().send(conn)

    return Request


def _rules(allowed: Networks) -> aiohttp.TraceConfig:
    async def begin(_: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        check(params.url, allowed)

    async def redirected(_: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams) -> None:
        reason = f"{params.url.host} answered {params.response.status}, and redirects are not followed"
        raise EgressError("redirect-not-followed", reason)

    rules = aiohttp.TraceConfig()
    rules.on_request_start.append(begin)
    rules.on_request_redirect.append(redirected)
    return rules
