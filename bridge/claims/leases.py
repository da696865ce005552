# SPDX-License-Identifier: Apache-2.0
"""
Give claims back whose holder is gone. One in each web process; every claim is given back once, whoever looks.

A lease is looked at in the second in which it may end. One that was extended is listed again at its new end, so here it is passed
over. What cannot be given back now stays listed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import hiredis

from bridge import logs
from bridge.claims.claims import Claims, Which
from bridge.domain.errors import Conflict, Unavailable
from bridge.redis.keys import Keys, listed_event
from bridge.redis.pipe import Pipe
from bridge.redis.reading import read
from bridge.redis.scripts import script
from bridge.settings import Settings

LOG = logs.get("bridge.claims")

LOOK_S: Final = 1.0
SECONDS: Final = 60  # seconds with ending leases that one look takes
TOGETHER: Final = 8  # claims that are given back at a time
MEMBER_BYTES: Final = 16


class Leases:
    """`tenants` names the tenants whose claims are looked at."""

    def __init__(self, pipe: Pipe, settings: Settings, claims: Claims, tenants: Callable[[], Iterable[str]]) -> None:
        self._pipe, self._keys, self._claims, self._tenants = pipe, Keys(settings.topic_prefix), claims, tenants

    async def run(self) -> None:
        """Look every second; runs until cancelled."""
        while True:
            for tenant in self._tenants():
                with suppress(Unavailable, hiredis.ReplyError):  # Redis is away or the view is being rebuilt: later will do
                    await self._look(tenant)
            await asyncio.sleep(LOOK_S)

    async def _look(self, tenant: str) -> None:
        names, now_s = self._keys, int(time.time())
        due = ("ZRANGEBYSCORE", names.leases(tenant), "-inf", now_s, "LIMIT", 0, SECONDS)
        (seconds,) = await read(self._pipe, names, [due])
        for second in map(int, seconds):
            (entries,) = await read(self._pipe, names, [("LRANGE", names.lease(tenant, second), 0, -1)])
            done: list[bytes] = []
            for start in range(0, len(entries), TOGETHER):
                some = entries[start : start + TOGETHER]
                seen = await asyncio.gather(*(self._expire(tenant, entry) for entry in some))
                done += [entry for entry, over in zip(some, seen, strict=True) if over]
            await self._pipe.script(script("leases_done"), (names.leases(tenant), names.lease(tenant, second)), (second, *done))

    async def _expire(self, tenant: str, entry: bytes) -> bool:
        """Say whether a lease needs no further look; while somebody else changes the claim, or Kafka is away, it does."""
        which = Which(listed_event(entry[:MEMBER_BYTES]), entry[MEMBER_BYTES:].decode("utf-8", "surrogatepass"))
        try:
            if await self._claims.expire(tenant, which):
                LOG.info("a claim's time was over; its event is offered again", tenant=tenant, event_key=which.event_key)
        except (Conflict, Unavailable, hiredis.ReplyError):
            return False
        return True
