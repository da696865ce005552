# SPDX-License-Identifier: Apache-2.0
"""How a run that has ended is retried: from what failed, one task of it, after a cancellation or a timeout."""

from __future__ import annotations

from bridge.domain import ids
from bridge.workflows.effects import RunProcess
from bridge.workflows.retrying import retryable
from bridge.workflows.signals import Callback, Retry, TaskEnded, Timer
from tests.unit.course import MINUTE, Course, task, wait


def test_a_retry_goes_on_from_what_failed() -> None:
    course = Course(
        task("a"), task("b", ("a", "success")), task("h", ("b", "failure")), task("z", "h"), task("side", "a"), task("bad", "a")
    )
    course.end("a")
    course.end("b", "failed")
    for name in ("h", "z", "side"):
        course.end(name)
    course.give(Retry())
    assert course.run.status == "running", "it has not ended"
    course.end("bad", "failed")
    assert course.run.status == "failed"
    before = len(course.effects)
    course.give(Retry(task="side"))
    assert course.run.status == "failed", "that one did not fail"
    course.give(Retry())
    assert course.statuses() == {
        "a": "succeeded",
        "b": "running",
        "h": "notstarted",
        "z": "notstarted",
        "side": "succeeded",
        "bad": "running",
    }
    again = [effect for effect in course.effects[before:] if isinstance(effect, RunProcess)]
    assert {(effect.task, effect.attempt, effect.id) for effect in again} == {
        (n, 2, ids.task_id("r", n, 2)) for n in ("b", "bad")
    }
    course.give(TaskEnded(task="b", attempt=1, status="failed"))
    course.end("b")
    course.end("bad")
    assert (course.run.status, course.run.retries) == ("succeeded", 1)
    assert course.statuses()["h"] == "skipped"


def test_a_retry_of_one_task_leaves_other_failures() -> None:
    course = Course(task("a"), task("b"))
    course.end("a", "failed")
    course.end("b", "failed")
    assert retryable(course.run, "a")
    course.give(Retry(task="a"))
    course.end("a")
    assert (course.run.status, course.run.message) == ("failed", "The task b is failed: why")


def test_a_retried_wait_waits_for_another_event_and_one_that_came_early_still_counts() -> None:
    course = Course(task("a"), wait("used", "a"), wait("w2", ("b", "success"), topic="u"), task("b"))
    course.give(Callback(topic="t", status="failed"))
    course.give(Callback(topic="u", results={"data": 1}))
    course.end("a")
    course.end("b", "failed")
    assert course.run.status == "failed"
    course.give(Retry())
    assert course.statuses() == {"a": "succeeded", "used": "waiting", "w2": "notstarted", "b": "running"}
    course.end("b")
    assert course.statuses()["w2"] == "succeeded"
    course.give(Callback(topic="t"))
    assert course.run.status == "succeeded"


def test_a_cancelled_or_timed_out_run_can_be_retried_and_has_its_time_again() -> None:
    course = Course(task("a"), wait("w", timeout=1), timeout=5)
    course.give(Timer(due_ms=course.at + MINUTE))
    assert course.run.status == "timedout"
    course.give(Retry(), at=course.at + 10 * MINUTE)
    assert course.statuses() == {"a": "running", "w": "waiting"}
    assert (course.run.due_ms, course.run.next_due_ms) == (course.at + 5 * MINUTE, course.at + MINUTE)
    assert not retryable(course.run)


def test_a_retry_of_one_task_begins_what_was_cancelled_with_it() -> None:
    course = Course(task("a"), wait("w", timeout=1))
    course.give(Timer(due_ms=course.at + MINUTE))
    assert course.statuses() == {"a": "cancelled", "w": "timedout"}
    course.give(Retry(task="w"))
    assert course.statuses() == {"a": "running", "w": "waiting"}
