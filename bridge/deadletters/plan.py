# SPDX-License-Identifier: Apache-2.0
"""What a bulk action would do, before it does anything. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.deadletters.index import Entry, Wanted
from bridge.domain.moments import iso

REPLAYED, NOT_FOUND = "replayed", "not-found"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The letters to act on by key, oldest first, and how many were left out, by why.

    `replayed`: a replay was asked of them before; `not-found`: named and not there; anything else is the reason's code of
    letters that no process got to see, so that there is nobody to replay them to.
    """

    entries: Mapping[str, Entry]
    skipped: Counter[str] = field(default_factory=Counter)

    def first(self, most: int) -> Plan:
        """Give the plan for the oldest `most` letters of it."""
        return Plan(dict(list(self.entries.items())[:most]), self.skipped)

    @property
    def since_ms(self) -> int:
        """When the oldest of its letters died, in milliseconds; 0 where there is none."""
        return next(iter(self.entries.values())).died_ms if self.entries else 0

    def document(self, rate: float) -> dict[str, Any]:
        """Say it for people and programs; `rate` is in letters per second."""
        return {
            "planned": len(self.entries),
            "types": _counts(entry.type for entry in self.entries.values()),
            "processes": _counts(entry.process for entry in self.entries.values()),
            "tenants": _counts(entry.tenant for entry in self.entries.values()),
            "oldest_at": iso(self.since_ms) if self.entries else None,
            "estimated_s": round(len(self.entries) / rate, 1),
            "skipped": dict(self.skipped),
        }


def plan_replay(found: Mapping[str, Entry], wanted: Wanted, again_ms: int = 0) -> Plan:
    """Plan a replay; letters whose last replay was before `again_ms` are replayed once more."""
    skipped, chosen = _missing(found, wanted), {}
    for key, entry in found.items():
        if not entry.process:
            skipped[entry.code or "unreadable"] += 1
        elif entry.replays and entry.replayed_ms >= again_ms:
            skipped[REPLAYED] += 1
        else:
            chosen[key] = entry
    return Plan(_oldest_first(chosen), skipped)


def plan_purge(found: Mapping[str, Entry], wanted: Wanted) -> Plan:
    """Plan a purge."""
    return Plan(_oldest_first(found), _missing(found, wanted))


def _missing(found: Mapping[str, Entry], wanted: Wanted) -> Counter[str]:
    missing = len(wanted.keys - found.keys()) if wanted.keys is not None else 0
    return Counter({NOT_FOUND: missing} if missing else {})


def _oldest_first(found: Mapping[str, Entry]) -> dict[str, Entry]:
    return dict(sorted(found.items(), key=lambda item: (item[1].died_ms, item[0])))


def _counts(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())
