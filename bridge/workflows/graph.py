# SPDX-License-Identifier: Apache-2.0
"""The order of tasks by what they depend on, and what is wrong with it. Knows names only: it can judge half-right documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def in_order(before: Mapping[str, Sequence[str]]) -> list[str]:
    """
    Give names so that each comes after those before it, else in their own order.

    Names that lie on a cycle, or behind one, are left out; so are ones before others that are no names of `before`.
    """
    waits = {name: len({one for one in earlier if one in before}) for name, earlier in before.items()}
    after: dict[str, list[str]] = {name: [] for name in before}
    for name, earlier in before.items():
        for one in dict.fromkeys(earlier):
            if one in before:
                after[one].append(name)
    found = [name for name, count in waits.items() if count == 0]
    for name in found:  # grows meanwhile
        for later in after[name]:
            waits[later] -= 1
            if waits[later] == 0:
                found.append(later)
    return found


def cycle(before: Mapping[str, Sequence[str]]) -> list[str]:
    """Give the names of one cycle, in the order in which they wait for one another; nothing where there is none."""
    ordered = set(in_order(before))
    left = [name for name in before if name not in ordered]
    if not left:
        return []
    path, name = [left[0]], left[0]
    while True:  # everything that is left has something before it that is left, so this comes round
        name = next(one for one in before[name] if one in before and one not in ordered)
        if name in path:
            return path[path.index(name) :]
        path.append(name)


def ancestors(before: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """Give for each name everything that comes before it; nothing for names on or behind a cycle."""
    found: dict[str, frozenset[str]] = dict.fromkeys(before, frozenset())
    for name in in_order(before):
        known = [one for one in before[name] if one in before]
        found[name] = frozenset(known).union(*(found[one] for one in known))
    return found
