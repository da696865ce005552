# SPDX-License-Identifier: Apache-2.0
"""Read the lists of events that can be claimed, or were: a page at a time, with their claims."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge import summaries
from bridge.claims.holds import LISTED
from bridge.claims.packed import claims_in
from bridge.claims.rows import FIELD, Row, listed, read, row_of
from bridge.claims.state import Claim, State
from bridge.domain.errors import NotFound
from bridge.domain.event import Event
from bridge.domain.limits import LOOP_BYTES
from bridge.domain.receipt import Draft, Receipt
from bridge.redis import reading
from bridge.redis.epoch import ViewGuard
from bridge.redis.keys import Keys, listed_event
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.redis.writing import write_fact
from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Listed:
    """An event of a list: its key, its row, its data, and its claims (with their versions) by transaction key."""

    key: str
    row: Row
    data: bytes
    claims: Mapping[str, tuple[Claim, int]]


@dataclass(frozen=True, slots=True)
class Query:
    """
    What is asked for: events of a full name that are in a state under a transaction key, created at `since_ms` or later.

    `skip` and `size` choose the page; the order is that of creation, and of the keys within a millisecond.
    """

    tenant: str
    environment: str
    full_name: str
    tx_key: str
    state: State
    since_ms: int
    skip: int
    size: int


class Lists:
    """The look-ups. All raise ViewUnavailable while Redis is away or the view is being rebuilt."""

    def __init__(self, pipe: Pipe, settings: Settings, guard: ViewGuard) -> None:
        self._pipe, self._keys, self._guard = pipe, Keys(settings.topic_prefix), guard
        self._keep_ms = settings.retention_hours * 3_600_000
        self._turns = reading.Turns()

    async def add(self, tenant: str, receipt: Receipt, draft: Draft) -> None:
        """List an event that Kafka has. Where Redis cannot be told, the view has a hole, and is rebuilt."""
        stamped = {**draft.attributes, "tenantid": tenant, "eventkey": receipt.key}
        event = Event(stamped, draft.data)
        row = row_of(event, receipt.accepted_ms)
        if row is None:
            return
        fact = listed(self._keys, event, row, self._keep_ms // 1000)
        await write_fact(self._pipe, self._keys, self._guard, fact, "an event that can be claimed")

    async def page(self, query: Query) -> tuple[int, list[Listed]]:
        """Give how many events fit, and those of the page; one that has just been forgotten is left out."""
        names, tenant = self._keys, query.tenant
        lists = {s: names.listed(tenant, query.environment, query.full_name, s.value, query.tx_key) for s in LISTED}
        if query.state is State.NONE:
            asked = [names.list(tenant, query.environment, query.full_name), *lists.values()]
        else:
            asked = [lists[query.state]]
        since = max(query.since_ms, int(time.time() * 1000) - self._keep_ms)
        wanted = (since, query.skip, query.size)
        total, *members = await reading.scripted(self._pipe, self._keys, script("list_page"), asked, wanted)
        found = await self._listed(tenant, [listed_event(one) for one in members])
        return total, [one for one in found if one is not None]

    async def find(self, tenant: str, environment: str, key: str) -> Listed:
        """Look an event up. Raises: NotFound, also for one of another environment."""
        found = await self.any_of(tenant, key)
        if found is None or found.row.environment != environment:
            raise NotFound("No such event.")
        return found

    async def any_of(self, tenant: str, key: str) -> Listed | None:
        """Look an event up, whatever its environment."""
        (found,) = await self._listed(tenant, [key])
        return found

    async def origin(self, tenant: str, key: str) -> tuple[str, int]:
        """Give an event's correlation id and the partition of its record. Raises: NotFound."""
        ((summary, position),) = await reading.read(self._pipe, self._keys, [("HMGET", self._keys.event(tenant, key), "d", "p")])
        if summary is None or position is None:
            raise NotFound("No such event.")
        return summaries.decode(summary).correlation_id, int(position.partition(b":")[0])

    async def claims_of(self, tenant: str, key: str) -> Mapping[str, tuple[Claim, int]]:
        """Give an event's claims; none where it was never claimed."""
        (claims,) = await reading.read(self._pipe, self._keys, [("HGET", self._keys.event(tenant, key), "c")])
        return claims_in(claims or b"")

    async def _listed(self, tenant: str, keys: list[str]) -> list[Listed | None]:
        """Read events; a page may end before its last one, as `reading.entries` says."""
        names = [self._keys.event(tenant, key) for key in keys]
        found = await reading.entries(self._pipe, self._keys, names, (FIELD, "p", "c"), self._turns(tenant))
        if sum(len(value or b"") for entry in found for value in entry) > LOOP_BYTES:
            return await asyncio.to_thread(_all_of, keys, found)
        return _all_of(keys, found)


def _all_of(keys: Sequence[str], found: Sequence[Sequence[bytes | None]]) -> list[Listed | None]:
    return [_of(key, *entry) for key, entry in zip(keys, found, strict=False)]


def _of(key: str, body: bytes | None, position: bytes | None, claims: bytes | None) -> Listed | None:
    if body is None or position is None:
        return None
    row, data = read(body)
    return Listed(key, row, data, claims_in(claims or b""))
