# SPDX-License-Identifier: Apache-2.0
"""C9: nothing breaks for a long time, and no process grows."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from tests.chaos.flat import Look, changed, missed, slopes
from tests.chaos.footprint import VALKEY, Footprint
from tests.chaos.scenarios.stage import Form, Scenario, Stage

PAUSE_S = 30.0
WARM = 1 / 5
"""The share of the load in which processes may still grow: caches fill, and the allocator finds its size."""
LONG_ENOUGH_S = 1800.0
"""A shorter load is told and not judged by its slopes: what a process needs to get warm would be taken for a leak."""
RATE_KEPT = 0.98


async def play(stage: Stage) -> None:
    footprint, began = Footprint(stage.product), time.monotonic()

    async def watch() -> None:
        await footprint.watch(stage.span_s, PAUSE_S)

    sent = await stage.under_fire(watch)
    rate, loaded_mb = len(sent) / (time.monotonic() - began), _own_mb()
    footprint.write(stage.product.stack.log / "footprint.csv")  # beside the logs, which CHAOS_LOGS keeps of a row that missed
    _judge(stage, footprint)
    await stage.settle(sent)
    stage.row.measured["events a second"] = f"{rate:.0f}"
    stage.row.measured["the client itself"] = f"{loaded_mb:.0f} MB after the load, {_own_mb():.0f} MB after the check"
    stage.asked(rate >= RATE_KEPT * stage.form.rate, f"{rate:.0f} events a second, asked {stage.form.rate:.0f}")
    stage.asked(not stage.row.duplicated, "nothing may be repeated")


def _judge(stage: Stage, footprint: Footprint) -> None:
    warm_s = stage.span_s * WARM
    for name, looks in footprint.seen.items():
        stage.row.measured[name] = _told(looks, warm_s)
    valkey = footprint.seen[VALKEY]
    bytes_ = (valkey[-1].rss_mb - valkey[0].rss_mb) * 1e6 / stage.form.events
    stage.row.measured["Valkey keeps of each event"] = f"{bytes_:.0f} bytes"
    stage.row.missed += changed(footprint.seen, footprint.times)
    if stage.span_s >= LONG_ENOUGH_S:
        stage.row.missed += [what for name, looks in footprint.ours.items() for what in missed(name, looks, warm_s)]


def _told(looks: Sequence[Look], warm_s: float) -> str:
    first, last, found = looks[0], looks[-1], slopes(looks, warm_s)
    aside = f", set aside {first.set_aside_mb:.0f} to {last.set_aside_mb:.0f}" if last.set_aside_mb else ""
    memory = f"{first.rss_mb:.0f} to {last.rss_mb:.0f} MB{aside}: {found.mb:+.1f} in 10 min"
    return f"{memory}; {first.files} to {last.files} open files: {found.files:+.1f} in 10 min"


def _own_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


SCENARIO = Scenario(
    "C9",
    "none, for long",
    "Nothing breaks for 50 minutes at 300 events a second, and every half minute memory and open files of each process are "
    "looked at. Asked: nothing lost or repeated; after the first ten minutes, web and worker take at most 1 MB and one file more "
    "in 10 minutes, without what a worker sets aside by design for the last hour's executions, and without the connections that "
    "the client has open. What Kafka and Valkey take is told.",
    Form(60_000, 300, 0),
    Form(900_000, 300, 0),
    play,
)
