# SPDX-License-Identifier: Apache-2.0
"""Requests per second and latency of the door: the floor, bare and full, at 1, 32 and 128 connections."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import load
from bench.product import Bench, memory_mb
from bridge.stack.ports import LOOPBACK, free_port
from bridge.topics import EVENTS

CONNECTIONS = (1, 32, 128)
SECONDS, ROUNDS = 4, 3
TYPE = "bench.posted"
TARGETS = {("bare", 32): 2.5, ("bare", 128): 4.0, ("full", 32): 1.2, ("full", 128): 2.0}
"""At least this many times the floor."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server to load: where, as whom, into which topic."""

    name: str
    url: str
    key: str
    topic: str
    pid: int


def measure(bench: Bench) -> dict[tuple[str, int], load.Figures]:
    """Load every server in turn, `ROUNDS` times, and keep the median round of each."""
    settings = bench.settings("bench")
    topic = EVENTS.name(settings)
    key = asyncio.run(_tenant(bench))
    rounds: dict[tuple[str, int], list[load.Figures]] = {}
    for _ in range(ROUNDS):
        for start in (_floor, _bare, _full):
            with start(bench, topic, key) as served:
                _drive(served, bench.kafka, 16, 2)  # warm up
                for connections in CONNECTIONS:
                    figures = _drive(served, bench.kafka, connections, SECONDS)
                    rounds.setdefault((served.name, connections), []).append(figures)
                print(f"  {served.name}: {memory_mb(served.pid):.0f} MB", flush=True)
    return {of: sorted(found, key=lambda f: f.rate)[len(found) // 2] for of, found in rounds.items()}


def _drive(served: Served, bootstrap: str, connections: int, seconds: int) -> load.Figures:
    return load.run(served.url, connections, seconds, key=served.key, bootstrap=bootstrap, topic=served.topic, event_type=TYPE)


async def _tenant(bench: Bench) -> str:
    from bench.tenant import create

    return await create(bench.settings("bench"), "bench")


@contextmanager
def _floor(bench: Bench, topic: str, key: str) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "2"]
    command += ["--blocking-threads", "64", "--backpressure", "128", "--host", LOOPBACK, "--port", str(port)]
    environ = {"BROKER": bench.kafka, "TOPIC": topic}
    with bench.server("floor", [*command, "bench.floor_app:app"], port, **environ) as server:
        yield Served("floor", f"http://{LOOPBACK}:{port}", key, topic, server.pid)


@contextmanager
def _bare(bench: Bench, topic: str, key: str) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "rsgi", "--http", "1", "--no-ws", "--loop", "uvloop"]
    command += ["--task-impl", "asyncio", "--workers", "1", "--backlog", "1024", "--backpressure", "4096", "--factory"]
    command += ["--host", LOOPBACK, "--port", str(port), "bench.bare_app:app"]
    environ = bench.environ("bench", TOPIC=topic, EVB_PORT=str(port))
    with bench.server("bare", command, port, **environ) as server:
        yield Served("bare", f"http://{LOOPBACK}:{port}", key, topic, server.pid)


@contextmanager
def _full(bench: Bench, topic: str, key: str) -> Iterator[Served]:
    with bench.web("bench") as web:
        yield Served("full", f"http://{LOOPBACK}:{web.port}", key, topic, web.pid)


def report(found: dict[tuple[str, int], load.Figures]) -> bool:
    """Print the table and the ratios; tells whether every target is met and no 2xx was a lie."""
    good = True
    print(f"\n{'server':8} {'conns':>5} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'x floor':>8} {'asked':>6}  not 2xx / lies")
    for (name, connections), f in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        ratio, asked = f.rate / found["floor", connections].rate, TARGETS.get((name, connections))
        good &= f.missing == 0 and (asked is None or ratio >= asked)
        print(
            f"{name:8} {connections:5} {f.rate:8.0f} {f.p50_ms:8.2f} {f.p99_ms:8.2f} {ratio:8.2f} {asked or '':>6}  "
            f"{f.refused} / {f.missing}"
        )
    print(f"median of {ROUNDS} rounds of {SECONDS} s; bodies of 512 bytes")
    return good
