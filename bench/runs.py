# SPDX-License-Identifier: Apache-2.0
"""
Runs of workflows: 1,000 at a time, of ten tasks with two waits; and a worker's start and memory with 100,000 that wait.

A transition's time is that from its signal's record to the record of the run that it made.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError

from bench.latency import part
from bench.product import Bench, memory_mb
from bench.storing import storing
from bench.tenant import create
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.kafka.scan import Scan
from bridge.registry.session import changing
from bridge.registry.workflows import apply_workflow
from bridge.runs.carried import signal_event
from bridge.runs.sending import Sender
from bridge.settings import Settings
from bridge.topics import RUNS, results
from bridge.workflows.advance import advance
from bridge.workflows.reading import check
from bridge.workflows.run import Run, decode, encode
from bridge.workflows.signals import Callback, Signal, Start, TaskEnded
from processors.attempts.states import APPLIED, EARLIER, EXECUTION, EXECUTION_ID, REPLAY, STORED

PREFIX = "bench-runs"
PLUGINS = os.pathsep.join((str(Path(__file__).parent / "plugin"), str(Path(__file__).parents[1])))
AT_ONCE, WAITING = 1_000, 100_000
SPREAD_S, REST_S = 50.0, 10.0
"""Over how long the runs start, and are called back; and how long they wait before."""
TARGET_MS, TARGET_BYTES, TARGET_S = 100.0, 2_000, 30.0
ROUNDS = 3


def _task(name: str, before: str, type_: str = "process", **more: Any) -> dict[str, Any]:
    own = {"processRef": "quick", "params": {"n": "$(params.n)"}} if type_ == "process" else {}
    return {"name": name, "type": type_, "dependencies": [{"taskRef": before}] if before else []} | own | more


WORKFLOW = {
    "name": "ten",
    "params": [{"name": "n", "type": "number"}],
    "tasks": [
        _task("a", ""),
        _task("b", "a"),
        _task("paid", "b", "eventwait", params={"topic": "paid"}),
        _task("c", "paid"),
        _task("d", "c", "decision", params={"value": "$(task.paid.results.data.ok)"}),
        _task("e", "d"),
        _task("sent", "e", "eventwait", params={"topic": "sent"}),
        _task("f", "sent"),
        _task("g", "f"),
        _task("end", "g", "decision", params={"value": "done"}),
    ],
}


@dataclass(slots=True)
class Found:
    """Milliseconds of transitions, runs that succeeded, and MB of the worker in between; starts and MB without and with runs."""

    transitions: dict[str, list[float]] = field(default_factory=dict)
    succeeded: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    starts: dict[int, list[float]] = field(default_factory=lambda: {0: [], WAITING: []})
    used: dict[int, list[float]] = field(default_factory=lambda: {0: [], WAITING: []})


def measure(bench: Bench) -> Found:
    """Let runs go through, spread over a minute and all at once; then start workers that have runs that wait."""
    found = Found()
    for name, spread_s in (("1,000 at a time", SPREAD_S), ("1,000 started at once", 0.0)):
        settings = bench.settings(f"{PREFIX}-{len(found.seconds)}", results("quick"))
        asyncio.run(_set_up(settings))
        with bench.worker(settings.topic_prefix, PYTHONPATH=PLUGINS) as worker:
            began = time.monotonic()
            found.memory += asyncio.run(_go(settings, spread_s, worker.pid))
            found.seconds[name] = time.monotonic() - began
        found.transitions[name], found.succeeded[name] = _transitions(settings)
    for runs in found.starts:
        settings = bench.settings(f"{PREFIX}-waiting-{runs}", results("quick"))
        asyncio.run(_set_up(settings))
        _keep(settings, runs)
        for _ in range(ROUNDS):
            began = time.monotonic()
            with bench.worker(settings.topic_prefix, PYTHONPATH=PLUGINS) as worker:
                found.starts[runs].append(time.monotonic() - began)
                time.sleep(REST_S)
                found.used[runs].append(memory_mb(worker.pid))
    return found


async def _set_up(settings: Settings) -> None:
    await create(settings, "bench")
    async with changing(settings) as changes:
        await apply_workflow(changes, "bench", check(WORKFLOW))


async def _go(settings: Settings, spread_s: float, pid: int) -> list[float]:
    """Start the runs and call each back twice; gives the worker's memory at the end of each of the three rounds."""
    loop = asyncio.get_running_loop()
    producer = LoopProducer(producing(settings, linger_ms=5), loop, _fatal)
    sender, names = Sender(settings, producer), [str(uuid.uuid4()) for _ in range(AT_ONCE)]
    rounds: list[Any] = [
        lambda n: Start(tenant="bench", workflow="ten", version=1, params={"n": n}),
        lambda _: Callback(topic="paid", results={"data": {"ok": True}}),
        lambda _: Callback(topic="sent"),
    ]
    memory = []
    for round_ in rounds:
        begin = loop.time()
        for number, run_id in enumerate(names):
            await asyncio.sleep(max(0.0, begin + number * spread_s / AT_ONCE - loop.time()))
            await _signal(sender, run_id, round_(number), wait=bool(spread_s))
        await asyncio.sleep(0 if spread_s else REST_S)
        memory.append(memory_mb(pid))
    await asyncio.to_thread(_all_ended, settings)
    await producer.close(10)
    return memory


async def _signal(sender: Sender, run_id: str, signal: Signal, *, wait: bool) -> None:
    event = signal_event("bench", run_id, str(uuid.uuid4()), signal, int(time.time() * 1000))
    sending = asyncio.ensure_future(sender.send(event))
    if wait:
        await sending
    else:
        await asyncio.sleep(0)


def _fatal(error: KafkaError) -> None:
    raise RuntimeError(error.str())


def _records(settings: Settings) -> Iterator[Any]:
    with Scan(settings, (RUNS,)) as scan:
        while not scan.done:
            yield from scan.read(500, 0.2)


def _all_ended(settings: Settings) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if _transitions(settings)[1] == AT_ONCE:
            return
        time.sleep(1)


def _transitions(settings: Settings) -> tuple[list[float], int]:
    """Give the times of all transitions, and how many runs have succeeded."""
    times, ended = [], set()
    for record in _records(settings):
        if record.value():
            headers = dict(record.headers())
            times.append(float(record.timestamp()[1] - int(headers[STORED])))
            run = decode(record.value())
            if run.status == "succeeded":
                ended.add(run.id)
    return sorted(times), len(ended)


def _waiting(run_id: str) -> Run:
    """Give a run that waits for its first callback."""
    workflow, at_ms = check(WORKFLOW), int(time.time() * 1000)
    step = advance(run_id, None, workflow, Start(tenant="bench", workflow="ten", version=1, params={"n": 1}), at_ms)
    for name in ("a", "b"):
        step = advance(run_id, step.run, workflow, TaskEnded(task=name, attempt=1, results={"data": {"n": 1}}), at_ms)
    assert step.run is not None
    return step.run


def _keep(settings: Settings, runs: int) -> None:
    """Store what a worker would have kept of runs that wait."""
    sample, now = encode(_waiting("0" * 36)), int(time.time() * 1000)
    with storing(settings) as store:
        for number in range(runs):
            run_id = str(uuid.uuid4())
            headers: list[tuple[str, bytes]] = [
                (APPLIED, b"%d" % number),
                (STORED, b"%d" % now),
                (EXECUTION_ID, str(uuid.uuid4()).encode()),
                (EXECUTION, b"{}"),
                (REPLAY, b"0"),
                (EARLIER, b"[]"),
            ]
            partition, value = zlib.crc32(run_id.encode()) % settings.partitions, sample.replace(b"0" * 36, run_id.encode())
            store.put(RUNS.name(settings), value, f"bench/{run_id}/3".encode(), headers, partition)


def report(found: Found) -> bool:
    """Print what was found; tells whether every run succeeded, in time, and the runs that wait cost what they may."""
    for name, times in found.transitions.items():
        print(f"\n{name}: {found.succeeded[name]} have succeeded after {found.seconds[name]:.0f} s, {len(times)} transitions:")
        print(f"  p50 {part(times, 0.5):.0f} ms, p99 {part(times, 0.99):.0f} ms, at most {times[-1]:.0f} ms")
    print(f"  MB after each round: {', '.join(f'{mb:.0f}' for mb in found.memory)}")
    start = {runs: statistics.median(seconds) for runs, seconds in found.starts.items()}
    used = {runs: statistics.median(mb) for runs, mb in found.used.items()}
    each = (used[WAITING] - used[0]) * 1e6 / WAITING
    for runs in found.starts:
        print(f"\n{runs:7} that wait: ready after {start[runs]:.1f} s (asked: {TARGET_S:g}), {used[runs]:.0f} MB")
    print(f"{each:.0f} bytes a run (asked: {TARGET_BYTES})")
    in_time = part(next(iter(found.transitions.values())), 0.99) <= TARGET_MS
    return in_time and {*found.succeeded.values()} == {AT_ONCE} and start[WAITING] <= TARGET_S and each <= TARGET_BYTES
