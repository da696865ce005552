# SPDX-License-Identifier: Apache-2.0
"""
Feeds: a tenant's notices in batches, each of which comes again until it is completed. Called by the polling routes.

Where a feed is, is one offset, moved by a decision: what was completed never comes again, whatever Redis loses. Redis only
keeps who holds the next batch.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bridge.decisions.facts import Ref
from bridge.decisions.holds import Held, Stale
from bridge.domain.errors import Conflict, NotFound, Unavailable, ViewUnavailable
from bridge.notifications.notice import Notice
from bridge.notifications.reader import Reader, Stretch
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.registry.changes import Changes
from bridge.registry.feeds import FeedPlace
from bridge.settings import Settings

BATCH: Final = 100
LEASE_MS: Final = 30_000
"""How long a batch is nobody else's; then it comes again."""
REMEMBER_S: Final = 7 * 86_400
TRIES: Final = 5
MOST: Final = 50
"""Feeds of one tenant."""
WAITING: Final = 8
"""Questions of one tenant to the reader that may wait."""
T = TypeVar("T")
_HALF: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Notices, in their order, and whether more wait."""

    id: str
    notices: list[Notice]
    more: bool


class Feeds:
    """One per web process; `source` is what a feed is of: notices whose types begin with it, or all of them (empty)."""

    def __init__(self, settings: Settings, pipe: Pipe, changes: Changes, reader: Reader) -> None:
        self._pipe, self._changes, self._reader = pipe, changes, reader
        self._keys = Keys(settings.topic_prefix)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feeds")
        self._turns: dict[str, asyncio.Lock] = {}
        self._asking: Counter[str] = Counter()

    async def next(self, tenant: str, source: str) -> Batch | None:
        """
        Give the next batch; None where nothing waits, or another poller has it.

        Again:  the same batch, once its lease is over, until it is completed.
        Raises: BrokerUnavailable, ViewUnavailable.
        """
        lease, token = self._keys.feed(tenant, source, "lease"), secrets.token_hex(8)
        if await self._pipe.call("SET", lease, token, "NX", "PX", LEASE_MS) is None:
            return None
        batch = None
        try:
            batch = await self._read(tenant, source)
        finally:
            if batch is None:
                await self._pipe.script(script("keep_lock"), (lease,), (token, 0))
        return batch

    async def complete(self, tenant: str, source: str, batch_id: str) -> None:
        """
        Let a batch never come again.

        Again:  harmless.
        Raises: NotFound where it is no batch of this feed; BrokerUnavailable, ViewUnavailable.
        """
        first, beyond = _range_of(batch_id)
        if first > self._place(tenant, source)[0] or beyond > await self._ask(tenant, self._reader.end, tenant):
            raise NotFound("There is no such batch in this feed.")
        await self._move(tenant, source, beyond)
        if await self._pipe.call("GET", self._keys.feed(tenant, source, "batch")) == batch_id.encode():
            await self._pass_on(tenant, source, beyond)

    async def discard(self, tenant: str, source: str) -> None:
        """Let nothing come again that is there now. Raises: Conflict; BrokerUnavailable, ViewUnavailable."""
        end = await self._ask(tenant, self._reader.end, tenant)
        await self._move(tenant, source, end)
        await self._pass_on(tenant, source, end)

    async def close(self) -> None:
        """Let go of Kafka."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.close)
        self._thread.shutdown(wait=False)

    async def _ask(self, tenant: str, question: Callable[..., T], *args: Any) -> T:
        """
        Let the reader answer, one tenant's questions one after another, so that none has it for itself.

        Raises: Unavailable where too many of the tenant's wait.
        """
        if self._asking[tenant] >= WAITING:
            raise Unavailable("Too many polls of this tenant wait already; try again.")
        self._asking[tenant] += 1
        try:
            async with self._turns.setdefault(tenant, asyncio.Lock()):
                return await asyncio.get_running_loop().run_in_executor(self._thread, question, *args)
        finally:
            self._asking[tenant] -= 1
            if not self._asking[tenant]:
                del self._asking[tenant], self._turns[tenant]

    async def _pass_on(self, tenant: str, source: str, beyond: int) -> None:
        """Let the next poller begin behind a batch, also at a server that has not heard of its completion yet."""
        await self._pipe.call("SET", self._keys.feed(tenant, source, "batch"), _named(beyond, beyond), "EX", REMEMBER_S)
        await self._pipe.call("DEL", self._keys.feed(tenant, source, "lease"))

    async def _read(self, tenant: str, source: str) -> Batch | None:
        """Read from where the feed is; the batch that was given before stays what it was."""
        first, _ = self._place(tenant, source)
        noted = self._keys.feed(tenant, source, "batch")
        before = await self._pipe.call("GET", noted)
        start, end = first, None
        if isinstance(before, bytes):
            given, beyond = _range_of(before.decode())
            if given == first < beyond:
                end = beyond  # as it was
            elif given == beyond > first:
                start = beyond  # nothing of this feed lies before
        found: Stretch = await self._ask(tenant, self._reader.read, tenant, source, start, end, BATCH)
        if not found.notices:
            await self._pipe.call("SET", noted, _named(found.next, found.next), "EX", REMEMBER_S)
            return None
        beyond = found.notices[-1][0] + 1
        name = _named(first, beyond)
        await self._pipe.call("SET", noted, name, "EX", REMEMBER_S)
        more = found.more
        if end is not None:
            following: Stretch = await self._ask(tenant, self._reader.read, tenant, source, beyond, None, 1)
            more = bool(following.notices or following.more)
        return Batch(name, [notice for _, notice in found.notices], more)

    def _place(self, tenant: str, source: str) -> tuple[int, int]:
        """Give the offset that a feed is at, and the version of that."""
        held = self._changes.registry.held(Ref("feed", tenant, source or ALL))
        return (held.object.next if isinstance(held.object, FeedPlace) else 0), held.version

    async def _move(self, tenant: str, source: str, beyond: int) -> None:
        for _ in range(TRIES):
            at, version = self._place(tenant, source)
            if at >= beyond:
                return
            if not version and len(self._changes.registry.feeds(tenant)) >= MOST:
                raise Conflict(f"A tenant polls at most {MOST} feeds.")
            try:
                await self._changes.put(FeedPlace(tenant=tenant, feed=source or ALL, next=beyond), version)
            except Stale:
                continue
            except Held:
                await asyncio.sleep(0.05)  # somebody else's completion is on its way to Kafka
                continue
            return
        raise ViewUnavailable("The feed is being changed by others again and again; repeat the request.")


ALL: Final = "all"
"""The feed of everything."""


def _named(first: int, beyond: int) -> str:
    """Name the batch of a stretch of offsets, in the form that the vendor's batch ids have."""
    return str(uuid.UUID(int=first << 64 | beyond))


def _range_of(batch_id: str) -> tuple[int, int]:
    """Raises: NotFound for what is no batch id of ours."""
    try:
        number = uuid.UUID(batch_id).int
    except ValueError:
        raise NotFound("There is no such batch in this feed.") from None
    return number >> 64, number & _HALF
