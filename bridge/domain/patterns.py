# SPDX-License-Identifier: Apache-2.0
"""Dotted patterns of event types: `user.created`, `user.*`, `user.*.renamed`, `*`."""

from __future__ import annotations

import re

SEGMENT = re.compile(r"^(\*|[^.*\s]+)$")


def fault(pattern: str) -> str:
    """Say what is wrong with a pattern, or an empty text."""
    if pattern and all(SEGMENT.match(part) for part in pattern.split(".")):
        return ""
    return f"{pattern!r} is not a dotted pattern such as user.created, user.* or *"


def matches(pattern: str, event_type: str) -> bool:
    """
    Tell whether an event type fits a pattern.

    `*` in the middle stands for exactly one segment, at the end for one or more; all else is compared letter by letter.
    """
    wanted, given = pattern.split("."), event_type.split(".")
    if wanted[-1] == "*" and len(given) > len(wanted):
        given = [*given[: len(wanted) - 1], "*"]
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))
