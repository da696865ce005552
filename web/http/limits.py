# SPDX-License-Identifier: Apache-2.0
"""
What a tenant's rate windows look like in an answer's headers.

`RateLimit` and `RateLimit-Policy` are structured fields of draft-ietf-httpapi-ratelimit-headers-11. Used by the dialects'
routes for accepted events and by `web.http.problems` for refused ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.errors import Quota

Header = tuple[str, str]


def quota_headers(quotas: Sequence[Quota]) -> tuple[Header, ...]:
    """Give the two header fields, or none where no window is known."""
    if not quotas:
        return ()
    policy = ", ".join(f'"{_text(q.name)}";q={q.limit};w={q.window_s}' for q in quotas)
    state = ", ".join(f'"{_text(q.name)}";r={max(0, q.remaining)};t={max(0, q.reset_s)}' for q in quotas)
    return ("ratelimit-policy", policy), ("ratelimit", state)


def _text(name: str) -> str:
    """Escape the content of a structured-field string (RFC 9651 section 3.3.3)."""
    return name.replace("\\", "\\\\").replace('"', '\\"')
