# SPDX-License-Identifier: Apache-2.0
"""An event that ends the worker is found and set aside; everything else that was in flight completes."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from confluent_kafka import Message

from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.test_retries import final, histories
from tests.integration.workers import Aftermath, Sender, Worker, event, headers, site, until, working

BACK_S = 5.0
"""Within this time a worker that was ended is back, where it has the machine to itself."""

PAST = r"crashed-worker: {} lives of the worker ended while it ran, which it first did at (\S+Z)"
APART = PAST.format(2) + ", and then it ended a child process: .+"
AGAIN = PAST.format(3)


@pytest.mark.timeout(120)  # a child process takes seconds to begin on a busy machine
@pytest.mark.parametrize(
    ("process", "ends", "lives", "reason"),
    [
        ("killer", "killer.exits", 2, APART),
        ("killer", "killer.faults", 2, APART),
        ("killer", "killer.is-killed", 2, APART),
        ("local", "local.exits", 3, AGAIN),
    ],
    ids=["exit", "segfault", "killed, as by the kernel for its memory", "cannot be apart"],
)
def test_what_ends_the_worker_is_set_aside(
    stack: StackOfTests, tmp_path: Path, process: str, ends: str, lives: int, reason: str
) -> None:
    settings = site(stack)
    bad, good = event(ends, b'"bytes"'), [event(f"{process}.spares", b"%d" % n) for n in range(40)]
    quick, slow = [event("t.now") for _ in range(40)], [event("slow.now", b'{"seconds": 1, "n": %d}' % n) for n in range(10)]
    all_ = [([bad], process), (good, process), (quick, "quick"), (slow, "slow")]
    with working(stack, settings, tmp_path) as worker:
        sender, sent_at = Sender(settings), time.time()
        sender.send(*slow, *good[:20], *quick[:20], bad, *good[20:], *quick[20:])
        sender.flush()
        away = lived(worker, settings, all_)
        worker.settle(settings)
    assert len(away) == lives
    assert max(away) < BACK_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), away
    completed(settings, all_[1:])
    last, letter = set_aside(settings, bad, process)
    told_at = re.fullmatch(reason, last.reason)
    assert told_at, last.reason
    assert sent_at - 1 < datetime.fromisoformat(told_at[1]).timestamp() <= time.time()
    assert letter.value() == bad.data
    assert headers(letter)["dl_code"] == "crashed-worker"


@pytest.mark.timeout(120)
def test_what_holds_the_interpreter_ends_two_lives_which_are_told_and_is_then_tried_apart(
    stack: StackOfTests, tmp_path: Path
) -> None:
    settings = site(stack)
    bad, good, quick = event("holder.holds"), [event("holder.spares") for _ in range(20)], [event("t.now") for _ in range(20)]
    all_ = [([bad], "holder"), (good, "holder"), (quick, "quick")]
    with working(stack, settings, tmp_path) as worker:
        sender = Sender(settings)
        sender.send(*good[:10], *quick[:10], bad, *good[10:], *quick[10:])
        sender.flush()
        away = lived(worker, settings, all_)
        worker.settle(settings)
        assert worker.metric('evb_worker_stalls_total{reason="loop"}') == len(away) == 2
    late = [line for line in worker.lines() if line.get("cause") == "loop"]
    assert [line["level"] for line in late] == ["error"] * 2, "the next life says it"
    assert worker.log.read_text().count("in fullmatch") == 2, "with the stacks"
    completed(settings, all_[1:])
    last, letter = set_aside(settings, bad, "holder")
    assert re.fullmatch(
        r"timeout: no outcome within 1 s; .+ killed; " + PAST.format(2).removeprefix("crashed-worker: "), last.reason
    )
    assert (headers(letter)["dl_code"], last.attempt) == ("timeout", 3), "each of its attempts after that was apart"


Sent = list[tuple[list[Event], str]]


def lived(worker: Worker, settings: Settings, sent: Sent) -> list[float]:
    """Start a worker again whenever it has ended, until every event is final; gives the seconds that each start took."""
    away = list[float]()
    while not all(final(settings, events, name) for events, name in sent):
        if not worker.running:
            began = time.monotonic()
            worker.spawn()
            until(lambda: worker.answers() or not worker.running, "it is back, or has been ended again")
            away.append(time.monotonic() - began)
    return away


def completed(settings: Settings, sent: Sent) -> None:
    """Each event was completed, and nothing else became of it."""
    told = histories(settings)
    for events, name in sent:
        for one in events:
            states = {state.status for state in told[ids.execution_id(one.key, name)] if state.status.final}
            assert states == {Status.COMPLETED}, (name, told[ids.execution_id(one.key, name)])


def set_aside(settings: Settings, bad: Event, process: str) -> tuple[Execution, Message]:
    """Give the one last record of a failed execution, and its dead letter."""
    (last,) = [state for state in histories(settings)[ids.execution_id(bad.key, process)] if state.status.final]
    assert last.status is Status.FAILED
    (letter,) = Aftermath.of(settings).letters[last.execution_id]
    return last, letter
