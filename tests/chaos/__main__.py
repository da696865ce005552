# SPDX-License-Identifier: Apache-2.0
"""
`python -m tests.chaos [--long] [C0 C1 … [--keep]]`: play the matrix or rows of it and print the table.

Rows that mostly wait are played last, two at a time. A whole every-change run is kept in `docs/`; `--keep` puts single rows in
the place of the kept ones. Rows of the long tier alone are played with `--long`, or in their small form where they are named;
they are never kept.

`CHAOS_SEED` decides all times. Exit code 1: a row missed what is asked, or the check did not see a planted fault.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Sequence

from tests.chaos import report
from tests.chaos.planted import PLANTED, blind
from tests.chaos.scenarios import ALL, LONG_ONLY
from tests.chaos.scenarios.stage import Row, Scenario, run

SEED = int(os.environ.get("CHAOS_SEED", "20261123"))


def main() -> None:
    """Play the named scenarios, or all."""
    names = [word for word in sys.argv[1:] if not word.startswith("-")]
    long_ = "--long" in sys.argv
    all_ = (*ALL, *LONG_ONLY)
    if unknown := set(names) - {scenario.id for scenario in all_}:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(scenario.id for scenario in all_)}")
    chosen = [scenario for scenario in all_ if scenario.id in names] if names else all_ if long_ else ALL
    rows = asyncio.run(_play_all(chosen, long_))
    report.show(rows)
    if not long_ and (not names or "--keep" in sys.argv):
        there = {row.id: row for row in report.kept()} if names else {}
        there |= {row.id: row for row in rows}
        report.keep([there[scenario.id] for scenario in ALL if scenario.id in there])
    sys.exit(any(row.missed for row in rows))


async def _play_all(chosen: Sequence[Scenario], long_: bool) -> list[Row]:
    """Play all, and give their rows in the same order."""
    rows = {scenario.id: await _play(scenario, long_) for scenario in chosen if not scenario.waits}
    two = asyncio.Semaphore(2)

    async def beside_another(scenario: Scenario) -> None:
        async with two:
            rows[scenario.id] = await _play(scenario, long_)

    await asyncio.gather(*(beside_another(scenario) for scenario in chosen if scenario.waits))
    return [rows[scenario.id] for scenario in chosen]


async def _play(scenario: Scenario, long_: bool) -> Row:
    form = scenario.large if long_ else scenario.small
    print(f"== {scenario.id}: {scenario.fault} ({form.events:,} events, seed {SEED})", flush=True)
    try:
        row, facts = await run(scenario, form, SEED)
    except Exception as err:  # noqa: BLE001  the edge: this one has failed, the others are played all the same
        traceback.print_exc()
        return Row(scenario.id, scenario.fault, form.times, form.events, drain_s=None, missed=[f"{type(err).__name__}: {err}"])
    if facts is not None and scenario is ALL[0]:
        row.measured["planted faults found"] = f"{len(PLANTED) - len(unseen := blind(facts, SEED))} of {len(PLANTED)}"
        row.missed += [f"the check does not see: {name}" for name in unseen]
    report.show([row])
    return row


if __name__ == "__main__":
    main()
