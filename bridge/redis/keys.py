# SPDX-License-Identifier: Apache-2.0
"""
Every key that Event Bridge keeps in Redis, and the small texts that several writers and readers of them share.

The intake's gate, the projection, the rebuild and the look-ups name their keys here and nowhere else. The topic prefix and
the tenant are in every key, so neither two installations nor two tenants can meet.

| key | type | holds |
|---|---|---|
| `<prefix>:epoch` | string | `<server run_id>:<number>`: the view of this server's life is complete |
| `<prefix>:<tenant>:rate` | list | a Redis-clock millisecond per event of the longest rate window, oldest first |
| `<prefix>:<tenant>:id:<hash of source and id>` | string | a `Known` event, for duplicates and look-ups by source and id |
| `<prefix>:<tenant>:event:<event key>` | hash | `d`: the summary's JSON, `r`: reserved at (Redis ms), `p`: `partition:offset` once confirmed |
| `<prefix>:<tenant>:cid:<correlation id>` | set | `e:<event key>` and `x:<execution id>` |
| `<prefix>:<tenant>:x:<execution id>` | string | `<offset>|<execution JSON>`; offset -1: a `pointer` to an expected execution |

An event without `p` whose `r` is older than 30 s was never confirmed and is not shown. All but the epoch and the rate log
live for the look-up time (`retention_hours`) from the last writing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

PENDING, DONE = "p", "d"
EXPECTED = b"-1|"
"""What the text of an execution begins with that a process is expected to have, but that no record tells of yet."""


class Keys:
    """The keys of one installation."""

    __slots__ = ("_prefix", "epoch")

    def __init__(self, topic_prefix: str) -> None:
        self._prefix = topic_prefix
        self.epoch = f"{topic_prefix}:epoch"

    def rate(self, tenant: str) -> str:
        """The tenant's rate log."""
        return f"{self._prefix}:{tenant}:rate"

    def known(self, tenant: str, source: str, event_id: str) -> str:
        """Where the event of this source and id is known; neither text can hold a line feed, so no two pairs meet."""
        digest = hashlib.blake2b(f"{source}\n{event_id}".encode("utf-8", "surrogatepass"), digest_size=16)
        return f"{self._prefix}:{tenant}:id:{digest.hexdigest()}"

    def event(self, tenant: str, event_key: str) -> str:
        """The event's summary and position."""
        return f"{self._prefix}:{tenant}:event:{event_key}"

    def correlation(self, tenant: str, correlation_id: str) -> str:
        """The members of the correlation id's tree."""
        return f"{self._prefix}:{tenant}:cid:{correlation_id}"

    def execution(self, tenant: str, execution_id: str) -> str:
        """The execution's last known state, or a pointer to the event that is expected to have it."""
        return f"{self._prefix}:{tenant}:x:{execution_id}"


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is known under a (source, id): `<state>|<event key>|<accepted ms>|<owner>|<since ms>|<correlation id>`.

    `state` is PENDING (reserved by the request `owner` at `since_ms` of Redis' clock, and void 30 s later) or DONE (Kafka has
    it). The correlation id comes last because it may hold any character.
    """

    state: str
    event_key: str
    accepted_ms: int
    owner: str
    since_ms: int
    correlation_id: str


def read_known(text: bytes) -> Known:
    """Read what is kept under `Keys.known`."""
    state, event_key, accepted_ms, owner, since_ms, correlation_id = text.decode().split("|", 5)
    return Known(state, event_key, int(accepted_ms), owner, int(since_ms), correlation_id)


def done(event_key: str, accepted_ms: int, correlation_id: str) -> str:
    """Write what is kept of an event that Kafka has; `accepted_ms` is its record's timestamp."""
    return f"{DONE}|{event_key}|{accepted_ms}||{accepted_ms}|{correlation_id}"


def pointer(event_key: str, process: str) -> str:
    """Write what stands for an execution that `process` is expected to have of an event."""
    return f'-1|{{"event_key":"{event_key}","process":"{process}"}}'


def event_member(event_key: str) -> str:
    """Name an event in a correlation id's set."""
    return f"e:{event_key}"


def execution_member(execution_id: str) -> str:
    """Name an execution in a correlation id's set."""
    return f"x:{execution_id}"
