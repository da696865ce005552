# SPDX-License-Identifier: Apache-2.0
"""Events per second of the worker, with results, execution records, tables and projection, beside a bare Faust echo."""

from __future__ import annotations

import sys
import time
import uuid
from dataclasses import dataclass

import psutil

from bench.load import body, count_records
from bench.product import Bench
from bench.storing import storing
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.event import Event
from bridge.settings import Settings
from bridge.topics import EVENTS, EXECUTIONS, results

EVENTS_MADE = 30_000
TARGET = 4.0
"""At least this many times the echo."""
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Events per second between the first and the last output record, and CPU time per event of the process."""

    per_second: float
    cpu_us: float


def measure(bench: Bench) -> dict[str, Rate]:
    """Let the echo and the worker each work off the same backlog."""
    return {"echo": _echo(bench), "worker": _worker(bench)}


def preload(settings: Settings, count: int, type_: str = "bench.posted", keys: int = 0) -> None:
    """Store `count` events of 500 bytes, as the intake would have; each of one of so many keys (0: each has its own)."""
    data = body(500).encode()
    with storing(settings) as store:
        for n in range(count):
            key = str(uuid.uuid4())
            attributes = {"specversion": "1.0", "id": str(n), "source": "/bench", "type": type_, "tenantid": "bench"}
            attributes |= {"partitionkey": f"k{n % keys}"} if keys else {}
            attributes |= {"eventkey": key, "correlationid": key, "datacontenttype": "application/json"}
            event = Event(attributes, data)
            store.put(EVENTS.name(settings), data, record_key(event), headers_of(event))


def _echo(bench: Bench) -> Rate:
    out = results("echo")
    settings = bench.settings("bench-echo", out)
    preload(settings, EVENTS_MADE)
    environ = {"BROKER": bench.kafka, "TOPIC": EVENTS.name(settings), "OUT": out.name(settings), "GROUP": "bench-echo"}
    environ |= {"FAUST_DATADIR": str(bench.stack.data / "echo")}  # else it makes a directory where the bench was called
    with bench.server("echo", [sys.executable, "-m", "bench.echo_app", "worker", "-l", "error"], 0, **environ) as server:
        return watch(bench, out.name(settings), server.pid)


def _worker(bench: Bench) -> Rate:
    import asyncio

    from bench.tenant import create

    settings = bench.settings("bench-worker", results("record"))
    asyncio.run(create(settings, "bench"))
    preload(settings, EVENTS_MADE)
    with bench.worker("bench-worker") as worker:
        return watch(bench, EXECUTIONS.name(settings), worker.pid)


def watch(bench: Bench, topic: str, pid: int) -> Rate:
    """Time from the first output to the last one, which must come within `PATIENCE_S` seconds."""
    process, deadline = psutil.Process(pid), time.monotonic() + PATIENCE_S
    first, cpu, seen = 0.0, 0.0, 0
    while time.monotonic() < deadline:
        count = count_records(bench.kafka, topic)
        now, used = time.monotonic(), sum(process.cpu_times()[:2])
        if count and not first:
            first, cpu, seen = now, used, count
        if count >= EVENTS_MADE:
            made = EVENTS_MADE - seen
            return Rate(made / (now - first), (used - cpu) / made * 1e6)
        time.sleep(0.05)
    raise TimeoutError(f"{topic}: {count_records(bench.kafka, topic)} of {EVENTS_MADE} after {PATIENCE_S} s")


def report(found: dict[str, Rate]) -> bool:
    """Print both rates; tells whether the target is met."""
    ratio = found["worker"].per_second / found["echo"].per_second
    print(f"\n{'':8} {'events/s':>9} {'CPU us/event':>13}")
    for name, rate in found.items():
        print(f"{name:8} {rate.per_second:9.0f} {rate.cpu_us:13.0f}")
    print(f"worker ÷ echo: {ratio:.2f} (asked: {TARGET})")
    return ratio >= TARGET
