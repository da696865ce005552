# SPDX-License-Identifier: Apache-2.0
"""Resident memory of web and worker over five minutes at 1,000 events per second."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from dataclasses import dataclass

from bench.latency import post
from bench.product import Bench, memory_mb
from bench.tenant import create
from bridge.stack.ports import LOOPBACK
from bridge.topics import results

RATE, MINUTES = 1_000, 5
WEB_MB, WORKER_MB, GROWTH_MB = 130.0, 250.0, 10.0
"""At most; growth: the worker's, from the first full minute to the last."""
PREFIX = "bench-memory"


@dataclass(frozen=True, slots=True)
class Memory:
    """MB at the end of each minute."""

    web: list[float]
    worker: list[float]


def measure(bench: Bench) -> Memory:
    """Post at a steady rate and look once a minute."""
    key = asyncio.run(create(bench.settings(PREFIX, results("record")), "bench"))
    web_mb, worker_mb = [], []
    with bench.web(PREFIX) as web, bench.worker(PREFIX) as worker:
        url = f"http://{LOOPBACK}:{web.port}/events"
        count = RATE * (MINUTES * 60 + 5)
        poster = multiprocessing.get_context("spawn").Process(target=post, args=(url, key, RATE, count))
        poster.start()
        for _ in range(MINUTES):
            time.sleep(60)
            web_mb.append(memory_mb(web.pid))
            worker_mb.append(memory_mb(worker.pid))
        poster.join()
    return Memory(web_mb, worker_mb)


def report(found: Memory) -> bool:
    """Print both lines; tells whether the bounds hold."""
    print(f"\nmemory in MB, minute by minute at {RATE} events/s")
    print(f"web    {' '.join(f'{mb:6.0f}' for mb in found.web)}   (asked: at most {WEB_MB:.0f})")
    print(f"worker {' '.join(f'{mb:6.0f}' for mb in found.worker)}   (asked: at most {WORKER_MB:.0f}, flat)")
    flat = found.worker[-1] - found.worker[0] <= GROWTH_MB
    return max(found.web) <= WEB_MB and max(found.worker) <= WORKER_MB and flat
