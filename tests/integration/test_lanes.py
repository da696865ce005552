# SPDX-License-Identifier: Apache-2.0
"""A process in a lane of its own has its backlog, its workers and its crashes for itself."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bridge.domain import ids
from bridge.domain.errors import Misconfigured
from bridge.domain.event import Event
from bridge.domain.execution import Status
from tests.conftest import StackOfTests
from tests.integration.test_pausing import newest
from tests.integration.test_retries import final, histories
from tests.integration.workers import Sender, event, site, until, working


def lazy(seconds: float, fails: int = 0) -> Event:
    return event("lazy.now", orjson.dumps({"seconds": seconds, "fails": fails}))


def test_a_lane_works_beside_the_shared_one(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    slow, retried = [lazy(6) for _ in range(8)], lazy(0, fails=1)
    quick = [event("t.now") for _ in range(50)]
    with working(stack, settings, tmp_path) as shared:
        sender = Sender(settings)
        sender.send(*slow, retried, *quick)
        sender.flush()
        shared.settle(settings)
        assert final(settings, quick, "quick"), "the shared lane waits for nobody"
        waiting = {(state.status, state.attempt, state.reason) for state in newest(settings, [*slow, retried], "lazy")}
        assert waiting == {(Status.PENDING, 0, "waits in its own lane")}
        with working(stack, settings, tmp_path, lane="lazy") as own:
            until(lambda: final(settings, [retried], "lazy"), "the quick one of the lane has ended, after a retry")
            own.kill()
            own.start()
            until(lambda: final(settings, slow, "lazy"), "the slow ones have ended, longer than the shared lane allows")
    told = histories(settings)
    for one in (*slow, retried):
        ends = [state for state in told[ids.execution_id(one.key, "lazy")] if state.status.final]
        assert {state.status for state in ends} == {Status.COMPLETED}
        assert all("/lazy/0" in state.worker for state in ends)
    assert [state.attempt for state in told[ids.execution_id(retried.key, "lazy")]] == [0, 1, 1, 2]


def test_a_lane_that_nobody_has_is_refused(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    for lane, why in (("quick", "runs in the shared lane"), ("nobody", "No process 'nobody'")):
        with pytest.raises(Misconfigured, match=why), working(stack, settings, tmp_path, lane=lane):
            pass
