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
    policies, states = [], []
    for name, limit, window_s, remaining, reset_s in quotas:
        text, policy = _policy(name, limit, window_s)
        policies.append(policy)
        states.append(f"{text};r={remaining if remaining > 0 else 0};t={reset_s if reset_s > 0 else 0}")
    return ("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(states))


@lru_cache(maxsize=1024)
def _policy(name: str, limit: int, window_s: int) -> tuple[str, str]:
    """Write a window's name as a structured-field string (RFC 9651 section 3.3.3), and its policy."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"', f'"{escaped}";q={limit};w={window_s}'
