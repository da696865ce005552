# SPDX-License-Identifier: Apache-2.0
"""How a run waits for callbacks and approvals, also for those that come early, late or twice."""

from __future__ import annotations

import pytest

from bridge.workflows import signals
from bridge.workflows.effects import RunProcess
from bridge.workflows.signals import Approval, Callback, TaskEnded
from tests.unit.course import Course, task, wait


def test_a_task_that_waits_is_ended_by_callbacks_only() -> None:
    course = Course(wait("w"), task("ask", type="approval"))
    course.give(TaskEnded(task="w", attempt=1))
    course.give(Approval(task="w", approved=True))
    course.give(TaskEnded(task="ask", attempt=1))
    assert course.statuses() == {"w": "waiting", "ask": "waiting"}
    assert course.run.status == "waiting"


def test_a_callback_ends_all_that_wait_for_its_topic_and_the_first_one_wins() -> None:
    course = Course(
        wait("one"), wait("two"), wait("other", topic="x"), task("go", "one", params={"d": "$(task.one.results.data.k)"})
    )
    course.give(Callback(topic="t", results={"data": {"k": 1}}))
    assert course.statuses() == {"one": "succeeded", "two": "succeeded", "other": "waiting", "go": "running"}
    course.give(Callback(topic="t", status="failed", results={"data": {"k": 2}}))
    assert course.run.task("two").results == {"data": {"k": 1}}
    assert course.doing(RunProcess)[0].data == {"d": 1}
    assert course.run.early == {}, "nobody waits for it any more"


def test_a_callback_before_the_wait_is_kept_with_its_status_and_the_first_one_wins() -> None:
    course = Course(task("a"), wait("w", "a"), task("h", ("w", "failure")))
    course.give(Callback(topic="nobody"))
    assert course.run.early == {}
    course.give(Callback(topic="t", status="failed", results={"data": 1}))
    course.give(Callback(topic="t", status="succeeded"))
    course.end("a")
    assert course.statuses() == {"a": "succeeded", "w": "failed", "h": "running"}
    assert course.run.task("w").results == {"data": 1}


def test_a_callback_may_come_before_its_topic_is_known() -> None:
    course = Course(task("a"), wait("w", ("a", "success"), topic="order-$(task.a.results.data.id)"))
    course.give(Callback(topic="order-7", results={"data": "paid"}))
    course.give(Callback(topic="order-8", status="failed"))
    course.end("a", data={"id": 7})
    assert course.run.status == "succeeded"
    assert course.run.task("w").results == {"data": "paid"}


def test_a_get_callback_has_no_results() -> None:
    course = Course(wait("w"), task("b", "w", params={"d": "$(task.w.results.data)"}))
    course.give(Callback(topic="t"))
    assert course.statuses() == {"w": "succeeded", "b": "invalid"}
    assert course.run.message == "The task b is invalid: $(task.w.results.data) has no value"


@pytest.mark.parametrize(("text", "status"), [("Succeeded", "succeeded"), ("FAILED", "failed"), ("invalid", "invalid")])
def test_the_status_of_a_callback(text: str, status: str) -> None:
    assert signals.end_status(text) == status
    assert [signals.end_status(wrong) for wrong in ("", "done", "timedout", "succeeded ")] == [None] * 4


def test_an_approval() -> None:
    course = Course(task("ask", type="approval"), task("yes", ("ask", "success")), task("no", ("ask", "failure")))
    course.give(Approval(task="ask", approved=False, by="me", comment="not now"))
    course.give(Approval(task="ask", approved=True))
    assert course.statuses() == {"ask": "failed", "yes": "skipped", "no": "running"}
    assert course.run.task("ask").results == {"data": {"approved": False, "approvedBy": "me", "comment": "not now"}}
