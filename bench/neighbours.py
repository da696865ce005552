# SPDX-License-Identifier: Apache-2.0
"""
From the POST to the result at 200 events per second, alone and beside others in the shared lane.

The others are a slow process and the flood of a tenant: 20 times as many slow executions as its share of the worker is. What as
many posts cost that are worked off at once shows how much of that is the machine's work, not waiting behind others.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.latency import WARM_S, Latency, post, post_to_result
from bench.product import Bench
from bench.tenant import create
from bridge.stack.ports import LOOPBACK
from bridge.topics import results
from processors.attempts.shares import MOST_SHARES
from processors.stream.room import IN_FLIGHT

PREFIX = "bench-neighbours"
PLUGIN, ROOT = Path(__file__).parent / "plugin", Path(__file__).parents[1]
LIVE, SPAN_S = 200, 12
ROUNDS = 3
TYPE = "slow.posted"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Posts events of `seconds` each at `rate` per second; the others' p99 may become `most` times what it is alone (0: any)."""

    name: str
    seconds: float
    rate: int
    most: float


SHARE = IN_FLIGHT // MOST_SHARES
FLOOD = 20 * SHARE // (SPAN_S + WARM_S)
NEIGHBOURS = (
    Neighbour("a process of 2 s at 20/s", 2.0, 20, 1.2),
    Neighbour("a tenant at 20 times its share", 4.5, FLOOD, 1.25),
    Neighbour("as many posts that are worked off at once", 0.0, FLOOD, 0.0),
)


@dataclass(frozen=True, slots=True)
class Round:
    """One look alone and one beside the neighbour."""

    alone: Latency
    beside: Latency


def measure(bench: Bench) -> dict[Neighbour, list[Round]]:
    """Look at each neighbour in several rounds."""
    return {one: [_round(bench, one, f"{PREFIX}-{at}-{number}") for number in range(ROUNDS)] for at, one in enumerate(NEIGHBOURS)}


def _round(bench: Bench, neighbour: Neighbour, prefix: str) -> Round:
    """Look twice at a fresh installation: what the neighbour of the round before left waiting disturbs nobody there."""
    settings = bench.settings(prefix, results("record"), results("slow"))
    key, *_ = [asyncio.run(create(settings, f"tenant-{n}")) for n in range(MOST_SHARES - 1)]
    neighbours = asyncio.run(create(settings, "neighbour", without="record"))  # its executions are the slow ones, and no others
    plugins = os.pathsep.join((str(PLUGIN), str(ROOT)))
    journal = str(bench.stack.data / prefix)
    with bench.web(prefix, PYTHONPATH=plugins) as web, bench.worker(prefix, PYTHONPATH=plugins, EVB_JOURNAL_DIR=journal):
        url, topic = f"http://{LOOPBACK}:{web.port}/events", results("record").name(settings)
        alone = post_to_result(bench.kafka, topic, url, key, LIVE, SPAN_S)
        with _posting(url, neighbours, neighbour):
            return Round(alone, post_to_result(bench.kafka, topic, url, key, LIVE, SPAN_S))


@contextmanager
def _posting(url: str, key: str, neighbour: Neighbour) -> Iterator[None]:
    """Let the neighbour post for longer than the look lasts, and end it with the block."""
    body = f'{{"seconds": {neighbour.seconds}}}'
    arguments = (url, key, neighbour.rate, neighbour.rate * 10 * SPAN_S, TYPE, body)
    poster = multiprocessing.get_context("spawn").Process(target=post, args=arguments)
    poster.start()
    try:
        yield
    finally:
        poster.terminate()
        poster.join()


def report(found: dict[Neighbour, list[Round]]) -> bool:
    """Print every round and the medians; tells whether the others' p99 stayed within what is asked, and nothing was lost."""
    good = True
    for neighbour, rounds in found.items():
        print(f"\n{neighbour.name}\n{'alone p50':>9} {'p99 ms':>8} {'beside p50':>10} {'p99 ms':>8} {'times':>6}  lost")
        for one in rounds:
            line = f"{one.alone.p50:9.1f} {one.alone.p99:8.1f} {one.beside.p50:10.1f} {one.beside.p99:8.1f}"
            print(f"{line} {one.beside.p99 / one.alone.p99:6.2f}  {one.alone.lost + one.beside.lost}")
            good &= one.alone.lost + one.beside.lost == 0
        times = statistics.median(one.beside.p99 for one in rounds) / statistics.median(one.alone.p99 for one in rounds)
        print(f"median p99: {times:.2f} times" + (f" (asked: at most {neighbour.most:g})" if neighbour.most else ""))
        good &= not neighbour.most or times <= neighbour.most
    return good
