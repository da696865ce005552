# SPDX-License-Identifier: Apache-2.0
"""What each process did within the last minute, from the counters that Prometheus reads: nothing is counted twice."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bridge import metrics
from bridge.registry.objects import AnnouncedRate

WINDOW_S: Final = 60.0


@dataclass(slots=True)
class _Counted:
    """A process's counters at a time: executions by outcome, and those that took at most so many seconds."""

    outcomes: dict[str, float] = field(default_factory=dict)
    within: dict[float, float] = field(default_factory=dict)


NOTHING: Final = _Counted()


class Rates:
    """Call `take` at every heartbeat; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: deque[tuple[float, Mapping[str, _Counted]]] = deque([(clock(), {})])

    def take(self) -> tuple[AnnouncedRate, ...]:
        """Give what happened since a minute ago, or since the start; processes without an execution are left out."""
        now, counted = self._clock(), _counted()
        while len(self._taken) > 1 and now - self._taken[1][0] >= WINDOW_S:
            self._taken.popleft()
        began, before = self._taken[0]
        self._taken.append((now, counted))
        rates = (_rate(name, now - began, before.get(name, NOTHING), one) for name, one in sorted(counted.items()))
        return tuple(rate for rate in rates if rate.outcomes)


def quantile(share: float, within: Mapping[float, float]) -> float:
    """Estimate a quantile from cumulative counts by upper bound, as PromQL does; 0 where nothing was counted."""
    bounds = sorted(within)
    total = within[bounds[-1]] if bounds else 0
    below, lower = 0.0, 0.0
    for bound in bounds:
        if total and within[bound] >= share * total:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (share * total - below) / max(within[bound] - below, 1e-9)
        below, lower = within[bound], bound
    return 0.0


def _rate(process: str, seconds: float, before: _Counted, now: _Counted) -> AnnouncedRate:
    outcomes = {name: int(count - before.outcomes.get(name, 0)) for name, count in now.outcomes.items()}
    within = {bound: count - before.within.get(bound, 0) for bound, count in now.within.items()}
    p50, p99 = (round(quantile(share, within), 4) for share in (0.5, 0.99))
    return AnnouncedRate(process, round(seconds, 1), {name: n for name, n in outcomes.items() if n}, p50, p99)


def _counted() -> dict[str, _Counted]:
    found: defaultdict[str, _Counted] = defaultdict(_Counted)
    for metric in metrics.EXECUTIONS.collect():
        for sample in metric.samples:
            found[sample.labels["process"]].outcomes[sample.labels["outcome"]] = sample.value
    for metric in metrics.EXECUTION_DURATION.collect():
        for sample in metric.samples:
            if sample.name.endswith("_bucket"):
                found[sample.labels["process"]].within[float(sample.labels["le"])] = sample.value
    return dict(found)
