# SPDX-License-Identifier: Apache-2.0
"""The rows of a run as a table in the terminal, as data (`docs/reliability.json`) and as a page (`docs/reliability.md`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.planted import PLANTED
from tests.chaos.product import PARTITIONS, TIERS
from tests.chaos.scenarios import ALL, LONG_ONLY
from tests.chaos.scenarios.stage import Row

DOCS = Path(__file__).parents[2] / "docs"
DATA, PAGE = DOCS / "reliability.json", DOCS / "reliability.md"
WIDTH = 140
HEAD = ("id", "fault", "times", "events", "lost", "duplicated", "phantom", "out of order", "time to drain", "verdict")

HEADER = """\
# Reliability: what was broken, and what came of it

Written by `make chaos` from the data of its run (`reliability.json`): do not edit it.

From {at} to {until} UTC, seed {seed} (`CHAOS_SEED` decides all times and loads); rows that mostly wait ({waiting}) are played two
at a time. Conditions:
2 shared cores, a load average of {low:.0f} to {high:.0f} at the starts of the rows, so read what is lost before how fast it was;
Kafka (one node) and Valkey of the embedded stack; the production processes, one `evb web` (in R two) and two `evb worker`
(in C2m three, and one of a lane);
{partitions} partitions, retry tiers {tiers}, the circuit breaker off, four tenants. The client repeats a request that was not
answered, or answered 503, with the same id, and posts the events of one partition key one after another.
"""
FOOTER = """
*lost*: accepted and not in Kafka, or without its one final status, its results, or its dead letter with the original bytes.
*duplicated*: results and executions that were written again with equal ids. *phantom*: what nobody sent or asked for.
*out of order*: events or results behind a later one of their partition key, where nothing was retried. *time to drain*: from
the end of the load and of the faults to the last final status; failed attempts wait {waits} in their retry tiers.
Every look-up over HTTP was compared with the topics.

The check itself was checked on the facts of C0: each of {number} planted faults turned it red ({planted}).

The long tier (`make chaos-long`) plays the same rows with larger numbers, and these, of which this table says nothing:

{long}

SIGTERM under load is row R; `tests/chaos/test_leaving.py` asks it of workers after kills of the broker and while they start. No
row upgrades from the release before: there has been none.

## What each row does
"""


def cells(row: Row) -> tuple[str, ...]:
    """Give a row's cells in the order of `HEAD`."""
    drain = "not in time" if row.drain_s is None else f"{row.drain_s:.1f} s"
    numbers = (row.times, row.events, row.lost, row.duplicated, row.phantom, row.disorder)
    return (row.id, row.fault, *(f"{n:,}" for n in numbers), drain, "missed" if row.missed else "passed")


def show(rows: Sequence[Row]) -> None:
    """Print the table, and below it what was measured and missed."""
    console, table = Console(), Table(*HEAD)
    console.width = console.width if console.is_terminal else WIDTH
    for row in rows:
        table.add_row(*cells(row), style="red" if row.missed else "")
    console.print(table)
    for row in rows:
        for line in (*(f"{name}: {said}" for name, said in row.measured.items()), *(f"MISSED: {what}" for what in row.missed)):
            console.print(f"{row.id}: {line}", markup=False, highlight=False)


def keep(rows: Sequence[Row]) -> None:
    """Write data and page."""
    DATA.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(rows))


def kept() -> list[Row]:
    """Read the data of the last run that was kept."""
    return [Row(**row) for row in json.loads(DATA.read_text())]


def _ended(row: Row) -> str:
    """Give when a row ended; one that failed on its way does not tell when it began."""
    return str(datetime.fromisoformat(row.at) + timedelta(seconds=round(row.took_s)))


def page(rows: Sequence[Row]) -> str:
    """Give the page of a run."""
    what = {scenario.id: scenario.what for scenario in ALL}
    loads = [row.load for row in rows]
    span = {"low": min(loads), "high": max(loads), "waiting": ", ".join(scenario.id for scenario in ALL if scenario.waits)}
    said = HEADER.format(
        at=min(row.at for row in rows if row.at),
        until=max(_ended(row) for row in rows if row.at),
        seed=rows[0].seed,
        partitions=PARTITIONS,
        tiers=TIERS,
        **span,
    )
    lines = [said, "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    long_ = "\n".join(f"- {scenario.id}, {scenario.fault}: {scenario.what}" for scenario in LONG_ONLY)
    lines += [FOOTER.format(waits=TIERS.replace(",", " and "), number=len(PLANTED), planted=", ".join(PLANTED), long=long_)]
    for row in rows:
        lines += [f"### {row.id}: {row.fault}", "", what[row.id], ""]
        lines += [f"- {name}: {said}" for name, said in row.measured.items()]
        lines += [f"- **missed**: {said}" for said in row.missed]
        lines += [f"- {row.took_s:.0f} s with start and check, at a load average of {row.load:.1f}", ""]
    return "\n".join(lines).rstrip() + "\n"
