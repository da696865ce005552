# SPDX-License-Identifier: Apache-2.0
"""
What a tenant's rate windows look like in an answer's headers.

`RateLimit` and `RateLimit-Policy` are structured fields of draft-ietf-httpapi-ratelimit-headers-11. Used by the dialects'
routes for accepted events and by `web.http.problems` for refused ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bridge.domain.errors import Quota

Header = tuple[str, str]


def quota_headers(quotas: Sequence[Quota]) -> tuple[Header, ...]:
    """Give the two header fields, or none where no window is known."""
    if not quotas:
        return ()
    policy = ", ".join([_policy(q.name, q.limit, q.window_s) for q in quotas])
    state = ", ".join([f"{_text(q.name)};r={max(0, q.remaining)};t={max(0, q.reset_s)}" for q in quotas])
    return ("ratelimit-policy", policy), ("ratelimit", state)


@lru_cache(maxsize=1024)
def _policy(name: str, limit: int, window_s: int) -> str:
    return f"{_text(name)};q={limit};w={window_s}"


@lru_cache(maxsize=1024)
def _text(name: str) -> str:
    """Write a structured-field string (RFC 9651 section 3.3.3)."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
