# SPDX-License-Identifier: Apache-2.0
"""Look messages up in the live view, one or a page at a time, with what became of them. Called by the door on its loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bridge.domain.errors import NotFound
from bridge.domain.event import Event
from bridge.domain.receipt import Draft, Receipt
from bridge.domain.view import EventView
from bridge.ingress.rows import FIELD, Row, listed, read
from bridge.redis import reading
from bridge.redis.epoch import ViewGuard
from bridge.redis.keys import Keys, list_member, listed_event
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.redis.writing import write_fact
from bridge.settings import Settings
from bridge.view.status import StatusView


@dataclass(frozen=True, slots=True)
class Message:
    """A message, its payload as it was sent (empty: none), and its event with the executions."""

    key: str
    row: Row
    payload: bytes
    view: EventView


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: behind this message."""

    received_ms: int
    key: str


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, the oldest first; `more`: others follow behind `end`."""

    messages: tuple[Message, ...]
    end: Place | None
    more: bool


class Messages:
    """The look-ups. All raise ViewUnavailable while Redis is away or the view is being rebuilt."""

    def __init__(self, pipe: Pipe, settings: Settings, guard: ViewGuard, status: StatusView) -> None:
        self._pipe, self._keys, self._guard, self._status = pipe, Keys(settings.topic_prefix), guard, status
        self._keep_s = settings.retention_hours * 3600
        self._turns = reading.Turns()

    async def add(self, tenant: str, receipt: Receipt, draft: Draft) -> None:
        """List a message that Kafka has."""
        event = Event({**draft.attributes, "tenantid": tenant, "eventkey": receipt.key}, draft.data)
        fact = listed(self._keys, event, receipt.accepted_ms, self._keep_s)
        assert fact is not None, "the door makes messages"
        await write_fact(self._pipe, self._keys, self._guard, fact, "a message")

    async def find(self, tenant: str, key: str) -> Message:
        """Look a message up. Raises: NotFound, also for an event that is none."""
        found, _ = await self._messages(tenant, [key])
        if not found:
            raise NotFound("No such event.")
        return found[0]

    async def page(self, tenant: str, since_ms: int, until_ms: int, size: int, after: Place | None) -> Page:
        """
        Give a page of the messages of [`since_ms`, `until_ms`), in the order of their acceptance.

        Shape: at most `size`, and fewer where they have more than `reading.PAGE_BYTES` together.
        """
        member = list_member(after.key) if after else b""
        begin = max(since_ms, after.received_ms) if after else since_ms
        asked = (begin, until_ms, size, member)
        more, *members = await reading.scripted(
            self._pipe, self._keys, script("message_page"), (self._keys.messages(tenant),), asked
        )
        found, left = await self._messages(tenant, [listed_event(one) for one in members])
        end = Place(found[-1].row.received_ms, found[-1].key) if found else None
        return Page(found, end, bool(more) or left > 0)

    async def _messages(self, tenant: str, keys: list[str]) -> tuple[tuple[Message, ...], int]:
        """Read messages, but those that have just been forgotten; gives how many at the end were too large to be read along."""
        names = [self._keys.event(tenant, key) for key in keys]
        entries = await reading.entries(self._pipe, self._keys, names, (FIELD,), self._turns(tenant))
        there = [(key, body) for key, (body,) in zip(keys, entries, strict=False) if body is not None]
        views = await asyncio.gather(*(self._view(tenant, key) for key, _ in there))
        found = [Message(key, *read(body), view) for (key, body), view in zip(there, views, strict=True) if view is not None]
        return tuple(found), len(keys) - len(entries)

    async def _view(self, tenant: str, key: str) -> EventView | None:
        try:
            return await self._status.event(tenant, key)
        except NotFound:
            return None
