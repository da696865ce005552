# SPDX-License-Identifier: Apache-2.0
"""
One connection to Redis: commands out in few writes per loop turn, replies back in order.

Made by `bridge.redis.pipe` only. A connection is never used again once it is lost: whoever waits on it is told so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from bridge.domain.errors import ViewUnavailable

Reply = Any
"""bytes, int, None or a list of them; an exception instance where the command failed."""

Done = Callable[[Reply], None]

LOOKS_PER_TIMEOUT: Final = 5
WRITE_BYTES: Final = 2048  # so much leaves at once: Redis works on it while the turn goes on

STATE_ERRORS: Final = frozenset(
    {"LOADING", "OOM", "READONLY", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "MISCONF", "NOREPLICAS", "NOAUTH", "NOPERM"}
)
"""Error replies that speak of the server's state, not of the command: to the caller the view is unavailable."""


class Connection(asyncio.Protocol):
    """
    The wire. `lost(self)` is called once, after every waiter was told.

    `timeout_s` bounds the wait of the oldest command; when it passes, the whole connection is given up, because replies
    have no number and a late one would otherwise reach the wrong waiter.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, lost: Callable[[Connection], None]) -> None:
        self._loop, self._timeout_s, self._lost = loop, timeout_s, lost
        self._reader = hiredis.Reader()
        self._transport: asyncio.WriteTransport | None = None
        self.open = False
        self._out: list[bytes] = []
        self._size = 0
        self._waiting: deque[tuple[Done | None, float]] = deque()
        self._turn_began = 0.0
        self._looked = 0.0
        self._reason = "the connection was closed"

    def push(self, data: bytes, done: Done | None) -> None:
        """Queue one encoded command; `done(reply)` is called once, on the loop, with the reply or an exception."""
        if not self._out:
            self._turn_began = self._loop.time()
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._size += len(data)
        self._waiting.append((done, self._turn_began))
        if self._size >= WRITE_BYTES:
            self._flush()

    def abort(self, reason: str) -> None:
        """Give the connection up at once; the waiters get `reason`."""
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self.open = True
        self._looked = self._loop.time()
        self._loop.call_later(self._timeout_s / LOOKS_PER_TIMEOUT, self._look)

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self._tell(waiting.popleft()[0], _meaning(reply) if isinstance(reply, hiredis.ReplyError) else reply)
        except (hiredis.ProtocolError, IndexError) as err:
            self.abort(f"the server does not speak Redis' protocol: {err}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self.open = None, False
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        if waiting:
            error = ViewUnavailable(f"Redis did not answer: {exc or self._reason}.")
            for done, _ in waiting:
                self._tell(done, error)
        self._lost(self)

    def _flush(self) -> None:
        """Write what waits, which may be nothing: a turn that had much to say wrote it before its end."""
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._size = 0

    def _tell(self, done: Done | None, reply: Reply) -> None:
        if done is None:
            return
        try:
            done(reply)
        except Exception as err:  # noqa: BLE001  one waiter's fault must not keep the other replies from their owners
            self._loop.call_exception_handler({"message": "the handler of a Redis reply failed", "exception": err})

    def _look(self) -> None:
        """Give up where the oldest command waited too long; a loop that itself stood still gets one more look first."""
        if self._transport is None:
            return
        now, step = self._loop.time(), self._timeout_s / LOOKS_PER_TIMEOUT
        stood_still = now - self._looked > 2 * step
        self._looked = now
        if self._waiting and now - self._waiting[0][1] > self._timeout_s and not stood_still:
            self.abort(f"no reply within {self._timeout_s:g} s")
        else:
            self._loop.call_later(step, self._look)


def _meaning(error: hiredis.ReplyError) -> Exception:
    code = str(error).partition(" ")[0]
    return ViewUnavailable(f"Redis cannot serve now: {code}.") if code in STATE_ERRORS else error
