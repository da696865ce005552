# SPDX-License-Identifier: Apache-2.0
"""
Judge whether processes stay as large as they are: the slopes of their memory and of their open files over a long load.

Pure: looks in, findings out. `footprint.py` looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import linear_regression

MB_IN_10_MIN, FILES_IN_10_MIN = 1.0, 1.0
SET_ASIDE_MB = 72.0
"""
What a worker may set aside: nine generations of finished executions and of failed attempts (decision 0032).

It takes them one after another over more than an hour, so they are subtracted before memory is judged, and judged here: one that
is never given back is found by this bound.
"""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a process: seconds since the load began, resident memory, what of it is set aside by design, open files."""

    at_s: float
    pid: int
    rss_mb: float
    files: int
    set_aside_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Slopes:
    """How much is added in ten minutes."""

    mb: float
    files: float


def slopes(looks: Sequence[Look], warm_s: float) -> Slopes:
    """Lay a line through all looks after the first `warm_s` seconds, without what is set aside."""
    warm = [look for look in looks if look.at_s >= warm_s]
    if len(warm) < 2:
        return Slopes(0.0, 0.0)  # it was hardly there: `changed` names it
    at = [look.at_s / 600 for look in warm]
    mb = linear_regression(at, [look.rss_mb - look.set_aside_mb for look in warm]).slope
    files = linear_regression(at, [look.files for look in warm]).slope
    return Slopes(mb, files)


def missed(name: str, looks: Sequence[Look], warm_s: float) -> Iterator[str]:
    """Name what a process does that is not flat."""
    found = slopes(looks, warm_s)
    if found.mb > MB_IN_10_MIN:
        yield f"{name} takes {found.mb:.1f} MB more in 10 minutes, asked {MB_IN_10_MIN:.0f}"
    if found.files > FILES_IN_10_MIN:
        yield f"{name} opens {found.files:.1f} files more in 10 minutes, asked {FILES_IN_10_MIN:.0f}"
    if (most := max(look.set_aside_mb for look in looks)) > SET_ASIDE_MB:
        yield f"{name} sets {most:.0f} MB aside, asked {SET_ASIDE_MB:.0f}"


def changed(seen: dict[str, list[Look]], times: int) -> Iterator[str]:
    """Name each process that was not there, as the same one, at every look."""
    for name, looks in seen.items():
        if len(looks) != times or len({look.pid for look in looks}) > 1:
            yield f"{name} was there at {len(looks)} of {times} looks, as {len({look.pid for look in looks})} processes"
