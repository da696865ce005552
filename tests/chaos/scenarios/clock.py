# SPDX-License-Identifier: Apache-2.0
"""C7c: the clocks of web server and workers are moved by ten minutes, forwards and backwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice

from confluent_kafka import Message

from bridge import topics
from bridge.stack.programs import Program
from tests.chaos.accounting import Sent
from tests.chaos.clock import MovedClock
from tests.chaos.drain import PATIENCE_S
from tests.chaos.product import stamp_at_the_broker
from tests.chaos.scenarios.flushed import posted_again
from tests.chaos.scenarios.stage import CHAOS, Form, Scenario, Stage
from tests.chaos.topics import records, text

MOVED_S = 600
LASTS_S = (5.0, 12.0)
MOVES = (MOVED_S, 0, -MOVED_S, 0)
"""One time: forwards, right again (which is backwards), backwards, right again."""


async def play(stage: Stage) -> None:
    stage.patience_s = PATIENCE_S + MOVED_S  # a retry that was written at a clock that went before is due when that time comes
    # When something ended is told by the broker's clock, which is right.
    stamp_at_the_broker(stage.product.settings, [topics.EXECUTIONS.name(stage.product.settings)])
    webs, workers = stage.product.webs, stage.product.workers
    turns = islice(cycle(([*webs, *workers], webs, workers)), stage.form.times)

    async def fire() -> None:
        for programs in turns:
            await stage.moments(stage.form.times, stage.span_s / 2)
            for seconds in MOVES:
                _move(programs, seconds)
                await asyncio.sleep(stage.random.uniform(*LASTS_S))

    sent = await stage.under_fire(fire)
    await stage.settle(sent)
    stage.row.measured["all had ended"] = f"{stage.row.drain_s or 0:.0f} s after the load"
    for whose, wrong in (("web server", _web_wrong(stage, sent)), ("workers", _workers_wrong(stage))):
        stage.asked(max(wrong) > 0.9 * MOVED_S, f"the clock of the {whose} went at most {max(wrong):.0f} s before")
        stage.asked(min(wrong) < -0.9 * MOVED_S, f"the clock of the {whose} went at most {-min(wrong):.0f} s behind")
        stage.row.measured[f"the clock of the {whose}"] = f"{min(wrong):+.0f} to {max(wrong):+.0f} s"
    await posted_again(stage, sent)
    await stage.settle(sent)
    stage.asked(not stage.row.duplicated, f"{stage.row.duplicated} are doubled")


def _move(programs: Sequence[Program], seconds: int) -> None:
    for program in programs:
        assert isinstance(program, MovedClock)
        program.move(seconds * 1000)


def _web_wrong(stage: Stage, sent: Sequence[Sent]) -> list[float]:
    """Give how many seconds the web server's stamp of each event is after its client's clock."""
    began = {s.id: s.began_ms for s in sent if s.verdict == "accepted"}
    stored = [(text(m, "ce_id"), m.timestamp()[1]) for m in _records(stage, topics.EVENTS)]
    return [(at_ms - began[id_]) / 1000 for id_, at_ms in stored if id_ in began]


def _workers_wrong(stage: Stage) -> list[float]:
    """Give how many seconds the worker's time of each execution's end is after the time at which the broker was told of it."""
    ended = [(json.loads(m.value() or b"{}").get("finished_ms"), m.timestamp()[1]) for m in _records(stage, topics.EXECUTIONS)]
    return [(at_ms - right_ms) / 1000 for at_ms, right_ms in ended if at_ms]


def _records(stage: Stage, topic: topics.Topic) -> Iterator[Message]:
    settings = stage.product.settings
    return records(settings.kafka.bootstrap_servers, topic.name(settings))


SCENARIO = Scenario(
    "C7c",
    "clock +-10 min",
    "The clocks of web server and workers, of all or some by turns, go ten minutes before, right, ten minutes behind and right "
    "again, for 5 to 12 s each. Asked: nothing lost, stuck or doubled; retries at most as late as the clock was moved; "
    "an event that is posted again gets its first receipt.",
    Form(3_000, 50, 1),
    Form(24_000, 60, 5),
    play,
    layout=replace(CHAOS, program=MovedClock),
)
