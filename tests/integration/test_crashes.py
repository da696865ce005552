# SPDX-License-Identifier: Apache-2.0
"""An event that ends the worker is found and set aside; everything else that was in flight completes."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from bridge.domain import ids
from bridge.domain.execution import Status
from tests.conftest import StackOfTests
from tests.integration.test_retries import final, histories
from tests.integration.workers import Aftermath, Sender, event, headers, site, until, working

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
    away = list[float]()
    with working(stack, settings, tmp_path) as worker:
        sender, sent_at = Sender(settings), time.time()
        sender.send(*slow, *good[:20], *quick[:20], bad, *good[20:], *quick[20:])
        sender.flush()
        while not all(final(settings, events, name) for events, name in all_):
            if not worker.running:
                began = time.monotonic()
                worker.spawn()
                until(lambda: worker.answers() or not worker.running, "it is back, or has been ended again")
                away.append(time.monotonic() - began)
        worker.settle(settings)
    assert len(away) == lives
    assert max(away) < BACK_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), away
    told, found = histories(settings), Aftermath.of(settings)
    for events, name in all_[1:]:
        for one in events:
            states = {state.status for state in told[ids.execution_id(one.key, name)] if state.status.final}
            assert states == {Status.COMPLETED}, (name, told[ids.execution_id(one.key, name)])
    (last,) = [state for state in told[ids.execution_id(bad.key, process)] if state.status.final]
    assert last.status is Status.FAILED
    told_at = re.fullmatch(reason, last.reason)
    assert told_at, last.reason
    assert sent_at - 1 < datetime.fromisoformat(told_at[1]).timestamp() <= time.time()
    (letter,) = found.letters[last.execution_id]
    assert letter.value() == bad.data
    assert headers(letter)["dl_code"] == "crashed-worker"
