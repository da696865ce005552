# SPDX-License-Identifier: Apache-2.0
"""The wall clock of the worker, in one place, so that a test can move it: waits of hours are tested in seconds."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Give the time in milliseconds since the epoch."""
    return int(time.time() * 1000)
