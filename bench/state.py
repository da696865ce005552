# SPDX-License-Identifier: Apache-2.0
"""What it costs to keep state: a worker's start and memory with 100,000 keys, and events per second beside keeping nothing."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
import uuid
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import body
from bench.product import Bench, memory_mb
from bench.storing import storing
from bench.tenant import create
from bench.worker import EVENTS_MADE, Rate, preload, watch
from bridge import executions
from bridge.credentials import Vault
from bridge.domain.execution import Execution, Position, Status
from bridge.registry.session import changing
from bridge.registry.tenants import set_process
from bridge.settings import Settings
from bridge.topics import EVENTS, EXECUTIONS, state
from processors.attempts.states import APPLIED, EARLIER, EXECUTION, EXECUTION_ID, REPLAY, STORED

PREFIX, STATE = "bench-state", "kept"
PLUGINS = os.pathsep.join((str(Path(__file__).parent / "plugin"), str(Path(__file__).parents[1])))
KEYS, VALUE = 100_000, 1_000
TARGET_S = 10.0
ROUNDS = 3
CASES = {
    "quick: keeps nothing": ("quick.posted", 10_000),
    "keeper, 10,000 keys": ("kept.posted", 10_000),
    "keeper, 200 keys": ("kept.posted", 200),
}
SETTLE_S = 2.0


@dataclass(slots=True)
class Found:
    """Seconds from the start to ready and MB then, without and with the keys; rates by case."""

    starts: dict[int, list[float]] = field(default_factory=lambda: {0: [], KEYS: []})
    memory: dict[int, list[float]] = field(default_factory=lambda: {0: [], KEYS: []})
    rates: dict[str, list[Rate]] = field(default_factory=lambda: {name: [] for name in CASES})


def measure(bench: Bench) -> Found:
    """Start workers that have nothing to do but to recover, then let others work off backlogs."""
    found = Found()
    for keys in found.starts:
        settings = bench.settings(f"{PREFIX}-{keys}", state(STATE))
        _keep(settings, keys)
        for _ in range(ROUNDS):
            began = time.monotonic()
            with bench.worker(f"{PREFIX}-{keys}", PYTHONPATH=PLUGINS) as worker:
                found.starts[keys].append(time.monotonic() - began)
                time.sleep(SETTLE_S)
                found.memory[keys].append(memory_mb(worker.pid))
    for number in range(ROUNDS):
        for at, (name, (type_, keys)) in enumerate(CASES.items()):
            found.rates[name].append(_rate(bench, f"{PREFIX}-{at}-{number}", type_, keys))
    return found


def _rate(bench: Bench, prefix: str, type_: str, keys: int) -> Rate:
    settings = bench.settings(prefix, state(STATE))
    asyncio.run(_tenant(settings))
    preload(settings, EVENTS_MADE, type_, keys)
    with bench.worker(prefix, PYTHONPATH=PLUGINS) as worker:
        return watch(bench, EXECUTIONS.name(settings), worker.pid)


async def _tenant(settings: Settings) -> None:
    """Make the tenant; its events go to the one process that is measured."""
    await create(settings, "bench")
    async with changing(settings) as changes:
        await set_process(changes, Vault(""), "bench", "record", enabled=False)


def _keep(settings: Settings, keys: int) -> None:
    """Store what a worker would have kept of so many keys, each at its first version."""
    value, now = body(VALUE).encode(), int(time.time() * 1000)
    with storing(settings) as store:
        for n in range(keys):
            partition = zlib.crc32(b"k%d" % n) % settings.partitions
            done = _execution(EVENTS.name(settings), partition, n, now)
            headers: list[tuple[str, bytes]] = [
                (APPLIED, b"%d" % n),
                (STORED, b"%d" % now),
                (EXECUTION_ID, done.execution_id.encode()),
                (EXECUTION, executions.encode(done)),
                (REPLAY, b"0"),
                (EARLIER, b"[]"),
            ]
            store.put(state(STATE).name(settings), value, b"bench/k%d/1" % n, headers, partition)


def _execution(topic: str, partition: int, n: int, now: int) -> Execution:
    key = str(uuid.uuid4())
    return Execution(
        execution_id=str(uuid.uuid4()),
        event_key=key,
        tenant="bench",
        correlation_id=key,
        event_id=str(n),
        event_source="/bench",
        event_type="kept.posted",
        process="keeper",
        version="1.0.0",
        status=Status.COMPLETED,
        attempt=1,
        received_ms=now,
        started_ms=now,
        finished_ms=now,
        event_position=Position(topic, partition, n),
    )


def report(found: Found) -> bool:
    """Print the medians, and every rate; tells whether a worker with all keys started in time."""
    start = {keys: statistics.median(seconds) for keys, seconds in found.starts.items()}
    used = {keys: statistics.median(mb) for keys, mb in found.memory.items()}
    for keys in found.starts:
        print(f"\n{keys:7} keys of {VALUE} bytes: ready after {_shown(found.starts[keys])} s, {_shown(found.memory[keys])} MB")
    print(f"of them for the keys: {start[KEYS] - start[0]:.1f} s (asked: at most {TARGET_S:g} in all)", end=", ")
    print(f"{(used[KEYS] - used[0]) * 1e6 / KEYS:.0f} bytes a key")
    print(f"\n{'':22} {'events/s':>9} {'CPU us/event':>13} {'times quick':>12}")
    rates = {name: statistics.median(one.per_second for one in rates) for name, rates in found.rates.items()}
    for name, rounds in found.rates.items():
        cpu = statistics.median(one.cpu_us for one in rounds)
        times = rates[name] / rates[next(iter(CASES))]
        print(f"{name:22} {rates[name]:9.0f} {cpu:13.0f} {times:12.2f}   ({_shown([one.per_second for one in rounds], 0)})")
    return start[KEYS] <= TARGET_S


def _shown(values: list[float], digits: int = 1) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
