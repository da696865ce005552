# SPDX-License-Identifier: Apache-2.0
"""Spans of time as people type them: 30s, 15m, 24h, 7d; and points in time, by a span back from now or in full."""

from __future__ import annotations

import time

from bridge.domain.errors import InvalidValue
from bridge.domain.moments import moment_ms

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> int:
    """Give a span in seconds. Raises: InvalidValue."""
    if not text[:-1].isdigit() or text[-1:] not in UNITS_S:
        raise InvalidValue(f"{text!r} is not a span of time: write 30s, 15m, 24h or 7d.")
    return int(text[:-1]) * UNITS_S[text[-1]]


def moment_of(text: str) -> int:
    """Give a point in time in milliseconds: `now`, a span before now, or a date or time. Raises: InvalidValue."""
    now_ms = int(time.time() * 1000)
    if text == "now":
        return now_ms
    if text[:-1].isdigit() and text[-1:] in UNITS_S:
        return now_ms - seconds_of(text) * 1000
    try:
        return moment_ms(text)
    except ValueError as err:
        raise InvalidValue(f"{err}: write that, or a span back from now such as 30m, 12h or 7d.") from err
