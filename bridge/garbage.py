# SPDX-License-Identifier: Apache-2.0
"""
How the server processes look for garbage cycles: seldom, and never among what lives as long as they do.

With thousands of events in flight the interpreter's defaults walk the whole heap again and again. Called once by the web's door
and by the worker, when everything is loaded.
"""

from __future__ import annotations

import gc

YOUNG, MIDDLE, OLD = 20_000, 20, 20
"""Allocations until the youngest objects are looked at, and how many such looks until the older ones are."""


def collect_seldom() -> None:
    """Set the present objects aside for good, and make looks rarer (measured: docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
