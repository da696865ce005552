# SPDX-License-Identifier: Apache-2.0
"""What a run may keep and make at most, whatever is sent to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.domain import ids
from bridge.domain.limits import JSON_DEPTH
from bridge.workflows import signals
from bridge.workflows.advance import TOO_LARGE
from bridge.workflows.effects import RunProcess, StartRun, TellRun
from bridge.workflows.limits import RUN_BYTES
from bridge.workflows.run import Parent
from bridge.workflows.signals import Callback, TaskEnded
from tests.unit.course import Course, task, wait


def test_runs_that_start_one_another_for_ever_end() -> None:
    course = Course(task("c", type="workflow"), start={"hops": 17})
    assert (course.run.status, course.doing(StartRun)) == ("invalid", [])


def test_what_a_run_keeps_is_bounded() -> None:
    large = "x" * RUN_BYTES
    begun = Course(task("a"), start={"params": {"data": large}, "parent": Parent("p", "c", 1)})
    assert (begun.run.status, begun.run.message, begun.run.params) == ("invalid", TOO_LARGE, {})
    assert [type(effect) for effect in begun.effects] == [TellRun]
    course = Course(wait("w"), task("a"))
    course.give(Callback(topic="t", results={"data": large}))
    assert (course.run.status, course.run.message, course.statuses()) == (
        "failed",
        TOO_LARGE,
        {"w": "cancelled", "a": "cancelled"},
    )


def test_reasons_are_bounded() -> None:
    course = Course(task("a"))
    course.give(TaskEnded(task="a", attempt=1, status="failed", reason="y" * 5000))
    assert (len(course.run.message), len(course.run.task("a").message)) == (1024, 1024)


def test_numbers_of_any_size_and_deep_values_go_through() -> None:
    deep: Any = 2**70
    for _ in range(JSON_DEPTH):
        deep = [deep]
    course = Course(
        task("a", params={"x": "$(params.data)", "y": "<$(params.data)>"}), wait("w"), start={"params": {"data": deep}}
    )
    assert course.doing(RunProcess)[0].data["x"] == deep
    with pytest.raises(ValueError, match="deep"):
        signals.decode(b'{"signal":"callback","topic":"t","results":{"data":' + b"[" * 5000 + b"]" * 5000 + b"}}")


def test_references_cannot_be_multiplied() -> None:
    course = Course(task("a", params={"all": ["$(params.data)"] * 2000}), start={"params": {"data": "x" * 1000}})
    assert course.statuses() == {"a": "invalid"}
    assert "larger than" in course.run.message


def test_what_tasks_that_begin_together_take_is_bounded() -> None:
    large, many = "x" * 600_000, [task(f"t{number}", params={"x": "$(params.data)"}) for number in range(30)]
    course = Course(*many, start={"params": {"data": large}})
    statuses = list(course.statuses().values())
    assert (statuses.count("running"), statuses.count("invalid")) == (20, 10)


def test_early_events_are_bounded() -> None:
    course = Course(task("a"), wait("w", "a", topic="$(task.a.results.data)"))
    for number in range(120):
        course.give(Callback(topic=f"t{number}"))
    assert len(course.run.early) == 100


def test_a_waiting_run_takes_at_most_two_kilobytes() -> None:
    names = [f"A task with a long name {n}" for n in range(12)]
    tasks = [task(name, *names[max(at - 2, 0) : at], params={"x": "y" * 500}) for at, name in enumerate(names)]
    start = {
        "params": {"data": {"id": "0123456789abcdef", "amount": 12.5}},
        "initiated_by": "bfw_0123456789",
        "correlation_id": "c" * 36,
    }
    course = Course(*tasks, wait("Wait for it", names[-1], topic="order-$(run.id)"), start=start)
    for name in names:
        course.end(name, data={"id": "0123456789abcdef"})
    assert course.run.status == "waiting"
    size = len(course.kept or b"") + len(ids.run_id("e", "w")) - len("r")
    assert size < 2048, json.loads(course.kept or b"")
