# SPDX-License-Identifier: Apache-2.0
"""From the POST to the result at 200 events per second, alone and while a replay of 10,000 events is running."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from bench.latency import Latency, post_to_result
from bench.load import count_records
from bench.product import Bench
from bench.tenant import create
from bench.worker import preload
from bridge.domain.moments import iso
from bridge.kafka.paced import DEFAULT_RATE
from bridge.settings import Settings
from bridge.stack.ports import LOOPBACK
from bridge.topics import EXECUTIONS, REDELIVERIES, results

PREFIX = "bench-replay"
REPLAYED = 10_000
LIVE = 200
"""Events per second that are posted meanwhile."""
ROUNDS = 3
SPANS = {DEFAULT_RATE: 36, 500.0: 12}
"""Replayed events per second -> seconds of looking, which end before the replay does."""
TARGET = 2.0
PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Round:
    """One look without and one with a replay; `again_s` is how long all replayed events took to their results."""

    alone: Latency
    beside: Latency
    again_s: float


def measure(bench: Bench) -> dict[float, list[Round]]:
    """Alternate: without, with, without, with."""
    settings = bench.settings(PREFIX, results("record"))
    key = asyncio.run(create(settings, "bench"))
    preload(settings, REPLAYED)
    found: dict[float, list[Round]] = {rate: [] for rate in SPANS}
    with bench.web(PREFIX) as web, bench.worker(PREFIX):
        _wait(bench, settings, REPLAYED)
        until = iso(int(time.time() * 1000))
        for number in range(ROUNDS):
            for rate in SPANS:
                found[rate].append(_round(bench, settings, f"http://{LOOPBACK}:{web.port}/events", key, rate, until, number))
    return found


def _round(bench: Bench, settings: Settings, url: str, key: str, rate: float, until: str, number: int) -> Round:
    topic = results("record").name(settings)
    alone = post_to_result(bench.kafka, topic, url, key, LIVE, SPANS[rate])
    asked, done = count_records(bench.kafka, REDELIVERIES.name(settings)), count_records(bench.kafka, EXECUTIONS.name(settings))
    options = [
        "--since",
        "1h",
        "--until",
        until,
        "--mode",
        "force",
        "--plan",
        f"{number}-{rate:g}",
        "--rate",
        f"{rate:g}",
        "--json",
    ]
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "replay", *options], env=os.environ | bench.environ(PREFIX), stdout=subprocess.PIPE
    ) as replaying:
        while count_records(bench.kafka, REDELIVERIES.name(settings)) == asked:
            time.sleep(0.05)
        beside = post_to_result(bench.kafka, topic, url, key, LIVE, SPANS[rate])
        told, _ = replaying.communicate()
    if replaying.returncode or f'"done":{REPLAYED}'.encode() not in told:
        raise RuntimeError(f"the replay did not do its work: {told[-500:]!r}")
    _wait(bench, settings, done + REPLAYED + beside.count)
    return Round(alone, beside, time.monotonic() - began)


def _wait(bench: Bench, settings: Settings, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while count_records(bench.kafka, EXECUTIONS.name(settings)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"fewer than {count} executions after {PATIENCE_S} s")
        time.sleep(0.1)


def report(found: dict[float, list[Round]]) -> bool:
    """Print every round and the medians; tells whether p99 stayed below twice its value without a replay."""
    good = True
    print(f"\n{'replay/s':>8} {'alone p50':>9} {'p99 ms':>8} {'beside p50':>10} {'p99 ms':>8} {'times':>6} {'all in s':>8}  lost")
    for rate, rounds in found.items():
        for one in rounds:
            times, lost = one.beside.p99 / one.alone.p99, one.alone.lost + one.beside.lost
            line = f"{rate:8g} {one.alone.p50:9.1f} {one.alone.p99:8.1f} {one.beside.p50:10.1f} {one.beside.p99:8.1f}"
            print(f"{line} {times:6.2f} {one.again_s:8.1f}  {lost}")
            good &= lost == 0
        median = statistics.median(one.beside.p99 for one in rounds) / statistics.median(one.alone.p99 for one in rounds)
        print(f"{rate:8g} median p99: {median:.2f} times (asked: below {TARGET:g})")
        good &= median < TARGET
    return good
