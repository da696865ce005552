# SPDX-License-Identifier: Apache-2.0
"""Spans of time as people type them: 30s, 15m, 24h, 7d."""

from __future__ import annotations

from bridge.domain.errors import InvalidValue

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> int:
    """Give a span in seconds. Raises: InvalidValue."""
    if not text[:-1].isdigit() or text[-1:] not in UNITS_S:
        raise InvalidValue(f"{text!r} is not a span of time: write 30s, 15m, 24h or 7d.")
    return int(text[:-1]) * UNITS_S[text[-1]]
