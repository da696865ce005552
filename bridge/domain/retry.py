# SPDX-License-Identifier: Apache-2.0
"""
When a failed attempt is tried again: which tier the execution waits in, and until when. Pure.

A tier is a delay with a topic of its own, so that everything in one topic is due in the order in which it came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

JITTER: Final = 0.1
"""Executions that failed together come back spread over a tenth of their delay."""

MOST_TIERS: Final = 10
LABEL: Final = re.compile(r"([1-9][0-9]{0,5})(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Tier(NamedTuple):
    """A delay; `label` is its name in settings, topics and policies."""

    label: str
    seconds: float


def tier(label: str) -> Tier:
    """Read a delay such as 500ms, 5s, 30m or 2h. Raises: ValueError."""
    found = LABEL.fullmatch(label)
    if found is None:
        raise ValueError(f"{label!r} is no delay; write a number with ms, s, m or h, such as 30s")
    return Tier(label, int(found[1]) * _SECONDS[found[2]])


def tiers(labels: str) -> tuple[Tier, ...]:
    """Read comma-separated delays, shortest first. Raises: ValueError."""
    found = tuple(tier(label.strip()) for label in labels.split(","))
    if len(found) > MOST_TIERS:
        raise ValueError(f"there are {len(found)} delays; at most {MOST_TIERS} are allowed")
    if any(later.seconds <= earlier.seconds for earlier, later in pairwise(found)):
        raise ValueError("the delays must grow from one to the next")
    return found


def next_tier(known: Sequence[Tier], policy: Sequence[str] | None, attempt: int, after_s: float | None) -> Tier | None:
    """
    Choose where an execution waits after its failed attempt `attempt` (from 1); None where that was its last.

    Shape: `policy` names the tier after each attempt, None stands for every tier once. A process that says itself how long to
    wait gets the shortest tier that is long enough, or the longest there is; it still has only the attempts of its policy.
    """
    waits = [one.label for one in known] if policy is None else policy
    if attempt > len(waits):
        return None
    if after_s is not None:
        return next((one for one in known if one.seconds >= after_s), known[-1])
    return next(one for one in known if one.label == waits[attempt - 1])


def due_ms(waits: Tier, now_ms: int, execution_id: str, attempt: int) -> int:
    """Say when the wait after an attempt ends: after the tier's delay, and up to a tenth of it later. Equal for equal input."""
    share = int.from_bytes(blake2b(f"{execution_id}/{attempt}".encode(), digest_size=4).digest()) / 2**32
    return now_ms + round(waits.seconds * 1000 * (1 + JITTER * share))


def longest_s(waits: Tier) -> float:
    """Say how long a wait in a tier lasts at most, in seconds."""
    return waits.seconds * (1 + JITTER)
