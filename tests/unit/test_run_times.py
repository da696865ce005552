# SPDX-License-Identifier: Apache-2.0
"""What time does to a run: timeouts of tasks and of the whole, sleeps, signals that come late, and how long it is kept."""

from __future__ import annotations

import msgspec

from bridge.workflows.advance import advance
from bridge.workflows.effects import Step
from bridge.workflows.signals import Callback, Cancel, Timer
from tests.unit.course import MINUTE, Course, task, wait


def test_a_wait_that_times_out_times_out_the_run() -> None:
    course = Course(wait("w", timeout=2), task("a"), task("h", ("w", "failure")))
    started = course.at
    assert course.run.next_due_ms == started + 2 * MINUTE
    course.give(Timer(due_ms=started + MINUTE), at=started + MINUTE)
    assert course.run.status == "running"
    course.give(Timer(due_ms=started + 2 * MINUTE))
    assert course.statuses() == {"w": "timedout", "a": "cancelled", "h": "notstarted"}
    assert (course.run.status, course.run.next_due_ms) == ("timedout", 0)
    course.give(Callback(topic="t"))
    course.end("a")
    assert course.run.status == "timedout"


def test_time_passes_before_a_signal_is_applied_however_late_the_timer() -> None:
    course = Course(wait("w", timeout=1))
    course.give(Callback(topic="t"), at=course.at + MINUTE)
    assert course.run.status == "timedout"


def test_a_sleep_ends_by_itself() -> None:
    course = Course(
        task("z", type="sleep", params={"duration": "$(params.s)"}),
        task("a", "z"),
        params=[{"name": "s", "type": "number", "default": 90}],
    )
    due = course.at + 90_000
    assert course.run.next_due_ms == due
    course.give(Timer(due_ms=due), at=due)
    assert course.statuses() == {"z": "succeeded", "a": "running"}
    assert Course(task("z", type="sleep", params={"duration": "$(params.data)"}), start={"params": {"data": -1}}).statuses() == {
        "z": "invalid"
    }
    short = Course(task("z", type="sleep", params={"duration": 90}, timeout=1))
    short.give(Timer(due_ms=short.at + 90_000))
    assert short.run.status == "timedout"


def test_a_run_times_out_as_a_whole() -> None:
    course = Course(task("a"), timeout=3)
    assert course.run.next_due_ms == course.at + 3 * MINUTE
    course.give(Timer(due_ms=course.run.next_due_ms))
    assert (course.run.status, course.statuses()) == ("timedout", {"a": "cancelled"})


def test_what_was_due_after_the_runs_own_end_does_not_happen() -> None:
    course = Course(task("z", type="sleep", params={"duration": 90}), timeout=1)
    course.give(Timer(due_ms=course.at + 10 * MINUTE))
    assert (course.run.status, course.statuses()) == ("timedout", {"z": "cancelled"})


def test_a_run_is_forgotten_long_after_its_end() -> None:
    course = Course(wait("w"))
    course.give(Cancel())
    due_ms = course.at + 30 * MINUTE
    run = msgspec.structs.replace(course.run, next_due_ms=due_ms)
    for signal, at_ms in ((Timer(due_ms=due_ms - 1), due_ms - 1), (Callback(topic="t"), due_ms + 1)):
        assert advance("r", run, course.workflow, signal, at_ms) == Step(run)
    assert advance("r", run, None, Timer(due_ms=due_ms), 1) == Step(run, forgotten=True)
