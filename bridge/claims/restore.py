# SPDX-License-Identifier: Apache-2.0
"""
Restore claims in the view from the facts in Kafka.

Called by the rebuild, after the markers of the new epoch are in every partition. Nothing is kept of what was read: of two facts
about one claim the script keeps the one with the higher version, whichever comes first.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from confluent_kafka import Message

from bridge import logs
from bridge.claims import facts
from bridge.claims.facts import Place
from bridge.claims.holds import ClaimHolds, Written
from bridge.claims.packed import pack
from bridge.claims.state import Claim
from bridge.decisions.facts import MARKER, parse_key
from bridge.domain.errors import ViewUnavailable
from bridge.kafka.lines import line_of
from bridge.kafka.scan import Scan
from bridge.redis.keys import Keys, list_member
from bridge.redis.lease import Lease
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.topics import CLAIMS

LOG = logs.get("bridge.claims")

READ, WAIT_S = 500, 0.5
CHUNK: Final = 200  # claims of one script call


class Standing:
    """Reads facts of each partition in their order, and leaves out what is void."""

    def __init__(self, forgotten_ms: int) -> None:
        self._epochs: dict[int, int] = {}
        self._forgotten_ms = forgotten_ms
        self.unreadable = 0

    def read(self, message: Message) -> Written | None:
        """Give the claim as a record leaves it; None for a marker, and for what is void, forgotten or none of ours."""
        line = line_of(message)
        try:
            ref, version = parse_key(line.key)
            if ref.kind == MARKER:
                self._epochs[line.partition] = max(self._epochs.get(line.partition, 0), version or 0)
                return None
            if ref.kind != facts.KIND or line.value is None or int(line.epoch or b"") < self._epochs.get(line.partition, 0):
                return None
            fact = facts.decode(line.value)
            check(fact.claim, fact.place, version or 0)
        except (ValueError, OverflowError):
            self.unreadable += 1
            return None
        return Written(fact.place, fact.claim, version or 0) if fact.place.created_ms > self._forgotten_ms else None


def check(claim: Claim, place: Place, version: int) -> None:
    """Raise ValueError or OverflowError for what cannot be written into the view: a record is foreign input."""
    if not claim.changes:
        raise ValueError("a claim has changes")
    pack(claim, version)
    list_member(place.event_key)


async def restore_claims(settings: Settings, pipe: Pipe, lease: Lease) -> int:
    """
    Write every claim as the log has it; gives how many records were read.

    Raises: BrokerUnavailable, ViewUnavailable where the right to rebuild was lost.
    """
    holds, keys, count = ClaimHolds(pipe, settings), Keys(settings.topic_prefix), 0
    standing = Standing(int(time.time() - settings.retention_hours * 3600) * 1000)
    scan = await asyncio.to_thread(Scan, settings, (CLAIMS,))
    try:
        while not scan.done:
            messages = await asyncio.to_thread(scan.read, READ, WAIT_S)
            count += len(messages)
            found = [one for one in map(standing.read, messages) if one is not None]
            for start in range(0, len(found), CHUNK):
                if not await holds.write(keys.rebuild, lease.token, found[start : start + CHUNK]):
                    raise ViewUnavailable("The rebuild was overtaken: another process rebuilds, or Redis was emptied.")
    finally:
        await asyncio.to_thread(scan.close)
    if standing.unreadable:
        LOG.error("records of claims cannot be read, and count for nothing", records=standing.unreadable)
    return count
