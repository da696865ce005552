# SPDX-License-Identifier: Apache-2.0
"""
The name of every key in Redis, once. Each begins with the installation's prefix; what belongs to a tenant names the tenant.

| key | type | holds |
|---|---|---|
| `<p>:epoch` | string | `<server run_id>:<number>`: the life of the view; absent or of another server: the view is lost |
| `<p>:holes` | counter | how often a writer said that its part of the view is missing |
| `<p>:rebuild` | string | who is rebuilding (a token, for seconds) |
| `<p>:passed` | hash | partition -> the next offset that the router has not finished |
| `<p>:<tenant>:rate:<seconds>` | list | a millisecond of Redis' clock per event of the rate window of that length, oldest first |
| `<p>:<tenant>:requests:<seconds>`, `…:points:<seconds>` | list | the same per request of the Event Ingress dialect, per point |
| `<p>:<tenant>:id:<digest of source and id>` | string | `<p or d>|<event key>|<accepted ms>|<correlation id>|<owner>` (`Known`) |
| `<p>:<tenant>:event:<event key>` | hash | `d` summary, `p` `<partition>:<offset>`, `r` reserved ms; `b`, `m` rows; `c` claims |
| `<p>:<tenant>:cid:<correlation id>` | set | `e:<event key>`, `x:<execution id>` |
| `<p>:<tenant>:decision:<kind>:<id>` | hash | `counter`, `confirmed`: versions; `nonce`, `until` (ms): a tentative decision |
| `<p>:<tenant>:list:<digest of environment and name>` | sorted set | event keys (16 bytes) of that full name, by creation (ms) |
| `<p>:<tenant>:claimed:<the same>:<state>:<digest of txKey>` | sorted set | those that it has in that state |
| `<p>:<tenant>:claiming:<event key>:<txKey>` | hash | `until` (ms), `counter`, `nonce`: a tentative change of a claim |
| `<p>:<tenant>:messages` | sorted set | event keys (16 bytes) of what the Event Ingress dialect accepted, by time (ms) |
| `<p>:<tenant>:leases` | sorted set | the seconds in which leases end |
| `<p>:<tenant>:leases:<second>` | list | event key's 16 bytes and transaction key of each claim whose lease may end then |
| `<p>:<tenant>:feed:<source>:lease` | string | who has the next batch of a feed (a token, for seconds) |
| `<p>:<tenant>:feed:<source>:batch` | string | the batch that was given last, or up to where nothing lies |
| `<p>:<tenant>:webhook:<id>` | sorted set | the executions that posted to it last, by the time of their last attempt |
| `<p>:<tenant>:state:<state>:<key>` | string | `<version>|<JSON>`: what processes keep of the key; nothing: not any more |
| `<p>:<tenant>:x:<execution id>` | string | `-1|<pointer>`, or `<offset>|<execution>`, or `<offset>+|<begun since>` (or `+e`) |
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from functools import lru_cache

PENDING, DONE = "p", "d"

BEGUN, BEGUN_OF_EVENT = "+", "+e"
"""Marks of an attempt in progress; the second began from the event's own record, not from one that gives it again."""


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is known under a (source, id).

    `state` is DONE where Kafka has the event, else PENDING: reserved by the request that `owner` names, as
    `<nonce>@<ms of Redis' clock>`, and void 30 s later. `accepted_ms` is the timestamp of the event's record.
    """

    state: str
    event_key: str
    accepted_ms: int
    correlation_id: str
    owner: str


def read_known(text: bytes) -> Known:
    """Read what is kept under `Keys.id`; a correlation id may hold any character, the other fields no bar."""
    state, event_key, accepted_ms, rest = text.decode().split("|", 3)
    correlation_id, _, owner = rest.rpartition("|")
    return Known(state, event_key, int(accepted_ms), correlation_id, owner)


class Keys:
    """The keys under one prefix."""

    __slots__ = ("epoch", "holes", "passed", "prefix", "rebuild")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.epoch = f"{prefix}:epoch"
        self.holes = f"{prefix}:holes"
        self.rebuild = f"{prefix}:rebuild"
        self.passed = f"{prefix}:passed"

    def rate(self, tenant: str, seconds: int) -> str:
        """Where the tenant's events of one rate window are counted."""
        return f"{self.prefix}:{tenant}:rate:{seconds}"

    def throttle(self, tenant: str, what: str, seconds: int) -> str:
        """Where a tenant's requests to a dialect, or what they weigh, are counted."""
        return f"{self.prefix}:{tenant}:{what}:{seconds}"

    def id(self, tenant: str, source: str, event_id: str) -> str:
        """Where a producer's (source, id) leads to its event."""
        name = f"{len(source)}:{source}{event_id}".encode()
        return f"{self.prefix}:{tenant}:id:{hashlib.blake2b(name, digest_size=16).hexdigest()}"

    def event(self, tenant: str, key: str) -> str:
        """Where an event's summary is."""
        return f"{self.prefix}:{tenant}:event:{key}"

    def correlation(self, tenant: str, correlation_id: str) -> str:
        """Where the members of one correlation id are."""
        return f"{self.prefix}:{tenant}:cid:{correlation_id}"

    def decision(self, kind: str, tenant: str, object_id: str) -> str:
        """Where decisions about an object are numbered."""
        return f"{self.prefix}:{tenant}:decision:{kind}:{object_id}"

    def list(self, tenant: str, environment: str, name: str) -> str:
        """Where the events of a full name are."""
        return f"{self.prefix}:{tenant}:list:{_digest(environment, name)}"

    def listed(self, tenant: str, environment: str, name: str, state: str, tx_key: str) -> str:
        """Where those of them are that a transaction key has in a state."""
        return f"{self.prefix}:{tenant}:claimed:{_digest(environment, name)}:{state}:{_digest(tx_key)}"

    def claiming(self, tenant: str, key: str, tx_key: str) -> str:
        """Where a tentative change of one of them is."""
        return f"{self.prefix}:{tenant}:claiming:{key}:{tx_key}"

    def messages(self, tenant: str) -> str:
        """Where a tenant's messages of the Event Ingress dialect are."""
        return f"{self.prefix}:{tenant}:messages"

    def leases(self, tenant: str) -> str:
        """Where the seconds are in which leases of a tenant end."""
        return f"{self.prefix}:{tenant}:leases"

    def lease(self, tenant: str, second: int) -> str:
        """Where the claims are whose leases may end in a second."""
        return f"{self.leases(tenant)}:{second}"

    def feed(self, tenant: str, source: str, what: str) -> str:
        """Where the `lease` of a feed of notices is, and the `batch` that was given last."""
        return f"{self.prefix}:{tenant}:feed:{source}:{what}"

    def webhook(self, tenant: str, id_: str) -> str:
        """Where the last deliveries to a webhook are."""
        return f"{self.prefix}:{tenant}:webhook:{id_}"

    def state(self, tenant: str, state: str, key: str) -> str:
        """Where what processes keep of a key is."""
        return f"{self.prefix}:{tenant}:state:{state}:{key}"

    def execution(self, tenant: str, execution_id: str) -> str:
        """Where an execution's state is."""
        return f"{self.prefix}:{tenant}:x:{execution_id}"


@lru_cache(maxsize=4096)
def _digest(*parts: str) -> str:
    """Name what may hold any character, so that no two different ones share a key."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def event_member(event_key: str) -> str:
    """Name an event in a correlation id's set."""
    return f"e:{event_key}"


def execution_member(execution_id: str) -> str:
    """Name an execution in a correlation id's set."""
    return f"x:{execution_id}"


def list_member(event_key: str) -> bytes:
    """Name an event in a list. Raises: ValueError where its key is no UUID."""
    return uuid.UUID(event_key).bytes


def listed_event(member: bytes) -> str:
    """Give the event key of a list's member."""
    return str(uuid.UUID(bytes=member))


def pointer(event_key: str, process: str) -> str:
    """Write what stands for an execution that `process` is expected to have; both texts need no escaping in JSON."""
    return f'-1|{{"event_key":"{event_key}","process":"{process}"}}'
