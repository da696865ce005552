# SPDX-License-Identifier: Apache-2.0
"""Points in time as text (RFC 3339, UTC) and as milliseconds since the epoch. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def iso(ms: int) -> str:
    """Write a time with its milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(16)
def _second(seconds: int) -> str:
    """Write a second, which thousands of results share."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def moment_ms(text: str) -> int:
    """Read a date or a time; one without a zone is in UTC. Raises: ValueError, saying what is wanted."""
    try:
        found = datetime.fromisoformat(text)
        return round(found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a time such as 2026-01-31T12:00:00Z") from None
