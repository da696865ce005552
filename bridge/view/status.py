# SPDX-License-Identifier: Apache-2.0
"""
Look up what became of events, in the live view.

Called by the HTTP doors on their event loop. It only reads; a tenant sees its own, and everything else is NotFound.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bridge import executions, summaries
from bridge.domain.errors import NotFound, TreeTooLarge, ViewUnavailable
from bridge.domain.execution import Execution, Position
from bridge.domain.limits import TREE_MEMBERS
from bridge.domain.view import UNCONFIRMED_S, EventSummary, EventView, Tree, expected, in_order
from bridge.redis.keys import BEGUN_OF_EVENT, Keys, read_known
from bridge.redis.pipe import Pipe
from bridge.redis.reading import PAGE_BYTES, Command, Turns, is_last, page, pages, read
from bridge.settings import Settings
from bridge.topics import EVENTS

CHUNK: Final = 200  # values of one MGET: each may be a megabyte
LARGE: Final = 1000  # members of a tree that takes memory and time enough to be looked up alone
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.025, 0.25


class Pointer(msgspec.Struct, frozen=True):
    """What the view keeps of an execution that is only expected."""

    event_key: str
    process: str


_POINTER = msgspec.json.Decoder(Pointer)


_OF_EVENT: Final = f"-1{BEGUN_OF_EVENT}|".encode()


def _waits(position: Position, passed: Mapping[bytes, bytes]) -> bool:
    return int(passed.get(b"%d" % position.partition, b"0")) <= position.offset


@dataclass(frozen=True, slots=True)
class _Found:
    """An event's entry; `position` is None while Kafka has not confirmed it."""

    summary: EventSummary
    position: Position | None

    def waits(self, passed: Mapping[bytes, bytes]) -> bool:
        """Whether the router has still to finish with the event, as far as `passed` knows."""
        return self.position is None or _waits(self.position, passed)


class StatusView:
    """
    The look-ups. All raise ViewUnavailable while Redis is away or the view is being rebuilt.

    What the router has passed is read before the names of the executions and their values: so an event counts as settled,
    and an expected execution is hidden, only when every record of it would have been seen.
    """

    def __init__(self, pipe: Pipe, settings: Settings) -> None:
        self._pipe, self._keys = pipe, Keys(settings.topic_prefix)
        self._passed: Command = ("HGETALL", self._keys.passed)
        self._topic = EVENTS.name(settings)
        self._turns = Turns()

    async def event(self, tenant: str, key: str) -> EventView:
        """Look an event up by its key. Raises: NotFound."""
        keys, own = self._keys, self._keys.correlation(tenant, key)
        clock, entry, gone, first = await self._read([("TIME",), self._entry(tenant, key), self._passed, page(own)])
        found = self._found(entry, clock)
        if found is None:
            raise NotFound("No such event.")
        tied = keys.correlation(tenant, found.summary.correlation_id)
        if tied != own:
            (first,) = await self._read([page(tied)])
        passed, own_key, shown = _pairs(gone), key.encode(), dict[str, Execution]()
        async with nullcontext() if is_last(first) else self._turns(tenant):
            async for some in pages(self._pipe, keys, tied, first):
                async for states in self._states(tenant, _named(b"x:", some)):
                    mine = [state for state in states if state[1] and own_key in state[1]]  # little of a large tree is ours
                    shown |= {e.execution_id: e for e in _shown(mine, {key: found}, passed) if e.event_key == key}
        return EventView(found.summary, found.position, not found.waits(passed), in_order(list(shown.values())))

    async def event_by_id(self, tenant: str, source: str, event_id: str) -> EventView:
        """Look an event up by its producer's source and id. Raises: NotFound."""
        (text,) = await self._read([("GET", self._keys.id(tenant, source, event_id))])
        view = await self.event(tenant, event_id if text is None else read_known(text).event_key)
        if (view.summary.source, view.summary.id) != (source, event_id):  # another event's key was given as id
            raise NotFound("No such event.")
        return view

    async def execution(self, tenant: str, execution_id: str) -> Execution:
        """Look an execution up. Raises: NotFound."""
        where = self._keys.execution(tenant, execution_id)
        (value,) = await self._read([("GET", where)])
        pointer = _pointer(value)
        if pointer is None and not value.startswith(_OF_EVENT):
            return _execution(value)
        key = pointer.event_key if pointer else _execution(value).event_key
        clock, entry, passed, value = await self._read([("TIME",), self._entry(tenant, key), self._passed, ("GET", where)])
        found = self._found(entry, clock)
        shown = _shown([(execution_id, value)], {key: found} if found else {}, _pairs(passed))
        if not shown:
            raise NotFound("No such execution.")
        return shown[0]

    async def correlation(self, tenant: str, correlation_id: str) -> Tree:
        """
        Look up everything that one correlation id ties together; a tenant's large ones one at a time.

        Raises: NotFound where it ties nothing, TreeTooLarge.
        """
        where = self._keys.correlation(tenant, correlation_id)
        (size,) = await self._read([("SCARD", where)])
        if size > TREE_MEMBERS:
            raise TreeTooLarge(TREE_MEMBERS)
        if size <= LARGE:
            return await self._tree(tenant, correlation_id, where)
        async with self._turns(tenant):
            return await self._tree(tenant, correlation_id, where)

    async def _tree(self, tenant: str, correlation_id: str, where: str) -> Tree:
        clock, gone, first = await self._read([("TIME",), self._passed, page(where)])
        tied = {member async for some in pages(self._pipe, self._keys, where, first) for member in some}
        found: dict[str, _Found] = {}
        for some in _chunks(_named(b"e:", tied)):
            for key, entry in zip(some, await self._read([self._entry(tenant, key) for key in some]), strict=True):
                if (event := self._found(entry, clock)) is not None:
                    found[key] = event
        passed, shown, size = _pairs(gone), list[Execution](), 0
        async for states in self._states(tenant, _named(b"x:", tied)):
            shown += _shown(states, found, passed)
            size += sum(len(value or b"") for _, value in states)
            if size > PAGE_BYTES:
                raise TreeTooLarge(TREE_MEMBERS)
        if not found and not shown:
            raise NotFound("No such correlation id.")
        summaries_ = sorted((f.summary for f in found.values()), key=lambda s: (s.accepted_ms, s.hops, s.key))
        return Tree(correlation_id, tuple(summaries_), in_order(shown))

    async def wait_final(self, tenant: str, key: str, timeout_s: float) -> EventView:
        """
        Look an event up until all its executions have their final status, at most `timeout_s` seconds; gives the last look.

        Holds no thread and no connection. It asks often at first and rarely later, so that a thousand waiters cost little.
        Raises: NotFound.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            left = began + timeout_s - loop.time()
            try:
                view = await self.event(tenant, key)
                if view.settled or left <= 0:
                    return view
            except ViewUnavailable:
                if left <= 0:
                    raise
            waited = loop.time() - began
            pause = min(max(waited / 8, SHORTEST_PAUSE_S), LONGEST_PAUSE_S) * random.uniform(0.8, 1.2)  # noqa: S311  no secret
            await asyncio.sleep(min(pause, max(left, 0)))

    async def _read(self, commands: list[Command]) -> list[Any]:
        return await read(self._pipe, self._keys, commands)

    async def _states(self, tenant: str, names: list[str]) -> AsyncIterator[list[tuple[str, bytes | None]]]:
        """Read the executions' values, some at a time."""
        for some in _chunks(names):
            (found,) = await self._read([("MGET", *(self._keys.execution(tenant, name) for name in some))])
            yield list(zip(some, found, strict=True))

    def _entry(self, tenant: str, key: str) -> Command:
        return ("HMGET", self._keys.event(tenant, key), "d", "p", "r")

    def _found(self, entry: list[bytes | None], clock: list[bytes]) -> _Found | None:
        """Read an event's entry; a reservation that Kafka never confirmed is none."""
        summary, position, reserved_ms = entry
        if summary is None:
            return None
        if position is not None:
            partition, _, offset = position.partition(b":")
            return _Found(summaries.decode(summary), Position(self._topic, int(partition), int(offset)))
        if int(clock[0]) * 1000 - int(reserved_ms or b"0") > UNCONFIRMED_S * 1000:
            return None
        return _Found(summaries.decode(summary), None)


def _shown(
    states: Iterable[tuple[str, bytes | None]], events: Mapping[str, _Found], passed: Mapping[bytes, bytes]
) -> list[Execution]:
    """
    Read executions; leave out the expected ones whose event the router has finished with, or that nobody knows.

    The same with one in progress of which no record came: its worker has died, and no later one had the process for the tenant.
    """
    shown = []
    for execution_id, value in states:
        if value is None:
            continue
        pointer = _pointer(value)
        if pointer is None:
            execution = _execution(value)
            if not value.startswith(_OF_EVENT) or _waits(execution.event_position, passed):
                shown.append(execution)
        elif (found := events.get(pointer.event_key)) is not None and found.waits(passed):
            position = found.position or Position("", -1, -1)
            shown.append(expected(found.summary, execution_id, pointer.process, position))
    return shown


def _pointer(value: bytes | None) -> Pointer | None:
    """Raises: NotFound where there is no value."""
    if value is None:
        raise NotFound("No such execution.")
    return _POINTER.decode(value[3:]) if value.startswith(b"-1|") else None


def _execution(value: bytes) -> Execution:
    return executions.decode(value[value.index(b"|") + 1 :])


def _named(kind: bytes, tied: Iterable[bytes]) -> list[str]:
    return sorted(member[2:].decode() for member in tied if member.startswith(kind))


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _chunks(names: list[str]) -> list[list[str]]:
    return [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]
