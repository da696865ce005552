# SPDX-License-Identifier: Apache-2.0
"""
The name of every key in Redis, once. Each begins with the installation's prefix; what belongs to a tenant names the tenant.

| key | type | holds |
|---|---|---|
| `<p>:epoch` | string | `<server run_id>:<number>`: the life of the view; absent or of another server: the view is lost |
| `<p>:holes` | counter | how often a writer said that its part of the view is missing |
| `<p>:rebuild` | string | who is rebuilding (a token, for seconds) |
| `<p>:passed` | hash | partition -> the next offset that the router has not finished |
| `<p>:<tenant>:id:<digest of source and id>` | string | `<p or d>|<event key>|<accepted ms>|<correlation id>|<owner>` |
| `<p>:<tenant>:event:<event key>` | hash | `d` summary, `p` `<partition>:<offset>` once confirmed, `r` reserved at (ms) |
| `<p>:<tenant>:cid:<correlation id>` | set | `e:<event key>`, `x:<execution id>` |
| `<p>:<tenant>:x:<execution id>` | string | `-1|<pointer>` expected, `<offset>|<execution>` recorded, `<offset>+|<execution>` in progress since that record |
"""

from __future__ import annotations

import hashlib


class Keys:
    """The keys under one prefix."""

    __slots__ = ("epoch", "holes", "passed", "prefix", "rebuild")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.epoch = f"{prefix}:epoch"
        self.holes = f"{prefix}:holes"
        self.rebuild = f"{prefix}:rebuild"
        self.passed = f"{prefix}:passed"

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

    def execution(self, tenant: str, execution_id: str) -> str:
        """Where an execution's state is."""
        return f"{self.prefix}:{tenant}:x:{execution_id}"
