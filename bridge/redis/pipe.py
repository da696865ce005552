# SPDX-License-Identifier: Apache-2.0
"""
The way to Redis or Valkey from an event loop: the commands of one loop turn leave in few writes.

Used on the event path of the web and by the worker's projection, always on the loop's own thread. It never blocks, keeps
one connection, dials again by itself, and says `ViewUnavailable` at once while there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

import hiredis

from bridge import logs
from bridge.domain.errors import ViewUnavailable
from bridge.redis.address import address
from bridge.redis.connection import Connection, Done, Reply
from bridge.redis.scripts import Script, all_scripts
from bridge.settings import Redis

LOG = logs.get("bridge.redis")

Argument = bytes | str | int

pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)  # its stub allows one argument only

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5
DIAL_S: Final = 2.0


class Pipe:
    """
    An auto-pipelining client. Replies are bytes, int, None and lists of them (RESP2).

    A command that waits longer than `timeout_ms` fails, and the connection with everything on it; so keep bulk work in
    flight small. Commands are sent at most once: after a failure nobody knows whether the server ran them.
    """

    def __init__(self, settings: Redis, loop: asyncio.AbstractEventLoop) -> None:
        self._settings, self._loop = settings, loop
        self._address = address(settings)
        self._connection: Connection | None = None
        self._hooks: list[Callable[[], None]] = []
        self._lost_hooks: list[Callable[[], None]] = []
        self._up = asyncio.Event()
        self._closing = False
        self._said = ""
        self.run_id = ""
        self._dialer: asyncio.Task[None] = loop.create_task(self._dial())

    @property
    def connected(self) -> bool:
        """Whether commands go out now; `run_id` is then the server's, and it stays for as long as this connection does."""
        return self._connection is not None

    @property
    def fault(self) -> str:
        """Why there is no connection, for operators; empty while there is one or the first attempt is under way."""
        return self._said

    def on_connect(self, hook: Callable[[], None]) -> None:
        """
        Call `hook` after each connect, and now if connected.

        What a hook sends goes out before anyone else's commands on that connection.
        """
        self._hooks.append(hook)
        if self.connected:
            self._call_hook(hook)

    def on_lost(self, hook: Callable[[], None]) -> None:
        """Call `hook` after each loss of a connection."""
        self._lost_hooks.append(hook)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection; says whether there is one."""
        try:
            await asyncio.wait_for(self._up.wait(), timeout_s)
        except TimeoutError:
            return False
        return self.connected

    def send(self, args: Sequence[Argument], done: Done | None = None) -> None:
        """
        Queue one command.

        `done(reply)` is called once, later, on the loop; the reply is an exception instance (never raised) where the
        command failed: ViewUnavailable, or hiredis.ReplyError for a fault of the command itself.
        """
        connection = self._connection
        if connection is not None:
            connection.push(pack(tuple(args)), done)
        elif done is not None:
            self._loop.call_soon(done, ViewUnavailable("Redis is not connected."))

    async def call(self, *args: Argument) -> Reply:
        """
        Send one command and wait for its reply.

        Raises: ViewUnavailable without a connection, after the time-out, or where the server cannot serve now.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send(args, _Settle(future))
        return await future

    def send_script(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], done: Done | None = None) -> None:
        """Queue one script call; as `send`. A server that has forgotten the script gets it again."""
        self.send((b"EVALSHA", script.sha, len(keys), *keys, *args), _ScriptCall(self, script, keys, args, done))

    async def script(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument]) -> Reply:
        """Run one script and wait for its reply; as `call`."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send_script(script, keys, args, _Settle(future))
        return await future

    def drop(self, reason: str) -> None:
        """Give the connection up and dial a new one; whoever waits is told `reason`."""
        if self._connection is not None:
            self._connection.abort(reason)

    async def close(self) -> None:
        """Stop dialling and close the connection; commands still waiting fail."""
        self._closing = True
        self._dialer.cancel()
        await asyncio.wait([self._dialer])
        self.drop("the process is leaving")
        while self._connection is not None:  # noqa: ASYNC110  an aborted transport says so in the next turns of the loop
            await asyncio.sleep(0)

    def _lost(self, connection: Connection) -> None:
        if connection is not self._connection:  # it never finished its handshake: the dialler knows
            return
        self._connection = None
        self._up.clear()
        for hook in self._lost_hooks:
            self._call_hook(hook)
        if not self._closing:
            self._say("lost the connection to Redis")
            self._dialer = self._loop.create_task(self._dial())

    async def _dial(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(DIAL_S):
                    connection, run_id = await self._connect()
                if connection.open:
                    break
            except (OSError, UnicodeError, ViewUnavailable, hiredis.HiredisError) as err:
                self._say(f"cannot reach Redis: {err or type(err).__name__}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        self._connection, self.run_id = connection, run_id
        self._say("")
        for hook in self._hooks:
            self._call_hook(hook)
        self._up.set()

    def _call_hook(self, hook: Callable[[], None]) -> None:
        try:
            hook()
        except Exception as err:  # noqa: BLE001  one hook's fault must leave neither the others nor the pipe unusable
            self._loop.call_exception_handler({"message": "a hook of the Redis connection failed", "exception": err})

    async def _connect(self) -> tuple[Connection, str]:
        at, timeout_s = self._address, self._settings.timeout_ms / 1000
        connection = Connection(self._loop, timeout_s, self._lost)
        if at.path:
            await self._loop.create_unix_connection(lambda: connection, at.path)
        else:
            await self._loop.create_connection(lambda: connection, at.host, at.port, ssl=at.tls)
        try:
            for command in self._greeting():
                reply = await self._ask(connection, command)
        except BaseException:
            connection.abort("the handshake failed")
            raise
        return connection, _run_id(reply)

    def _greeting(self) -> Iterable[tuple[Argument, ...]]:
        if self._address.password:
            yield ("AUTH", *([self._address.username] if self._address.username else []), self._address.password)
        if self._address.database:
            yield ("SELECT", self._address.database)
        for script in all_scripts():
            yield ("SCRIPT", "LOAD", script.source)
        yield ("INFO", "server")

    async def _ask(self, connection: Connection, command: tuple[Argument, ...]) -> Reply:
        future: asyncio.Future[Reply] = self._loop.create_future()
        connection.push(pack(command), _Settle(future))
        return await future

    def _say(self, what: str) -> None:
        """Log a change of the connection's state once, not once per attempt."""
        if what != self._said:
            self._said = what
            if what:
                LOG.warning(what, address=str(self._address))
            else:
                LOG.info("connected to Redis", address=str(self._address))


class _Settle:
    """Hand a reply to the coroutine that waits for it; one that has gone away is no error."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Reply]) -> None:
        self.future = future

    def __call__(self, reply: Reply) -> None:
        if self.future.done():
            return
        if isinstance(reply, Exception):
            self.future.set_exception(reply)
        else:
            self.future.set_result(reply)


class _ScriptCall:
    """Pass a script's reply on; where the server has forgotten the script (SCRIPT FLUSH), load it and call again."""

    __slots__ = ("args", "done", "keys", "pipe", "script")

    def __init__(self, pipe: Pipe, script: Script, keys: Sequence[Argument], args: Sequence[Argument], done: Done | None) -> None:
        self.pipe, self.script, self.keys, self.args, self.done = pipe, script, keys, args, done

    def __call__(self, reply: Reply) -> None:
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            self.pipe.send(("SCRIPT", "LOAD", self.script.source))
            self.pipe.send(("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args), self.done)
        elif self.done is not None:
            self.done(reply)


def _run_id(info: bytes) -> str:
    for line in info.decode().splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    raise hiredis.ProtocolError("INFO server names no run_id")
