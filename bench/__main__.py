# SPDX-License-Identifier: Apache-2.0
"""
`python -m bench [ingress] [worker] [latency] [slow] [memory] [replay] [neighbours] [rebalance] [buildable] [state] [feeds]
[runs]`: all where none is named.

Exit code 1: one missed.
"""

from __future__ import annotations

import importlib
import sys

from bench.product import bench

PARTS = [
    "ingress",
    "worker",
    "latency",
    "slow",
    "memory",
    "replay",
    "neighbours",
    "rebalance",
    "buildable",
    "state",
    "feeds",
    "runs",
]


def main() -> None:
    """Measure the named parts, each on a fresh stack."""
    chosen = sys.argv[1:] or PARTS
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    missed = []
    for name in chosen:
        print(f"== {name}", flush=True)
        part = importlib.import_module(f"bench.{name}")
        with bench() as parts:
            found = part.measure(parts)
        if not part.report(found):
            missed.append(name)
    if missed:
        sys.exit(f"\nmissed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
