# SPDX-License-Identifier: Apache-2.0
"""C2m: workers leave, stay away, are stopped and come back, while order and state are kept and a process has its own lane."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable

from bridge.stack.programs import Program
from processors.ending import DOUBT
from processors.stream.app import SESSION_S
from tests.chaos.ledger import KINDS, Kind
from tests.chaos.product import PLUGIN, Layout
from tests.chaos.scenarios.stage import Form, Scenario, Stage
from tests.chaos.topics import records, text

ORDERLY = PLUGIN.parent / "orderly"
COUNT = Kind("count", 20, "completed", 1, ordered=True)
ORDER = (Kind("queue", 30, "completed", 1, ordered=True), COUNT, Kind("lane", 20, "completed", 1))
ECHO = next(kind for kind in KINDS if kind.name == "echo")
LONGER_S = SESSION_S + 2.0
"""Kafka has given the partitions to others by then."""

Fault = Callable[[Stage, Program], Awaitable[object]]


async def _leaves(stage: Stage, worker: Program) -> None:
    await stage.product.kill(worker, away_s=stage.random.uniform(0.0, 3.0), number=signal.SIGTERM)


async def _gone(stage: Stage, worker: Program) -> None:
    await stage.product.kill(worker, away_s=LONGER_S)


async def _stands(stage: Stage, worker: Program) -> None:
    """Stop it for longer than its session, and let it go on: what it still believes to own is others' by now."""
    pid = worker.pid
    await stage.product.freeze(worker)
    await asyncio.sleep(LONGER_S)
    stage.product.thaw(worker)
    async with asyncio.timeout(60):
        await stage.product.answering([worker], [pid])


FAULTS: tuple[Fault, ...] = (_stands, _leaves, _gone)


async def play(stage: Stage) -> None:
    stage.doubts = (DOUBT,)
    product = stage.product
    chosen = [FAULTS[n % len(FAULTS)] for n in range(stage.form.times)]

    async def fire() -> None:
        for n, fault in enumerate(chosen):
            await stage.moments(stage.form.times, stage.span_s / 4)
            await fault(stage, stage.random.choice(product.lanes if n % 4 == 3 else product.workers))

    await stage.settle(await stage.under_fire(fire))
    await asyncio.to_thread(_judge_state, stage)


def _judge_state(stage: Stage) -> None:
    """Compare the results of the process with state: of each key it has counted 1, 2, … without a gap or a repetition."""
    settings, counted = stage.product.settings, defaultdict[str, dict[str, int]](dict)
    topic = f"{settings.topic_prefix}.results.{COUNT.handled_by}"
    for record in records(settings.kafka.bootstrap_servers, topic):
        key = f"{text(record, 'ce_tenantid')}/{(record.key() or b'').decode()}"
        counted[key][text(record, "ce_id")] = json.loads(record.value() or b"null")["counted"]
    wrong = [key for key, results in counted.items() if sorted(results.values()) != list(range(1, len(results) + 1))]
    stage.row.measured["keys with state"] = str(len(counted))
    stage.asked(bool(counted) and not wrong, f"{len(wrong)} states of {len(counted)} were not counted right, e.g. {wrong[:3]}")


LAYOUT = Layout(
    workers=3,
    processes=[kind.handled_by for kind in (ECHO, *ORDER)],
    plugins=(PLUGIN, ORDERLY),
    lanes=("chaos-lane",),
)

SCENARIO = Scenario(
    "C2m",
    "workers come, go and are stopped",
    "One of three workers, or the worker of a process with its own lane, is stopped (SIGSTOP) for longer than its session and "
    "goes on, is asked to leave and comes back, or is killed and stays away until others have its partitions. One process keeps "
    "order and has attempts repeated, one keeps state. Asked: nothing lost, results of both in order, each event counted once.",
    Form(3_600, 50, 6),
    Form(60_000, 50, 80),
    play,
    LAYOUT,
    (ECHO, *ORDER),
    waits=True,
)
