# SPDX-License-Identifier: Apache-2.0
"""What a run does with its tasks: params and results, decisions, failures, children, events, and signals for nobody."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain import ids
from bridge.workflows.advance import advance, fresh
from bridge.workflows.effects import EmitEvent, RunProcess, StartRun, Step, TellRun
from bridge.workflows.reading import check
from bridge.workflows.run import Parent
from bridge.workflows.signals import Callback, Cancel, Retry, Start, TaskEnded
from tests.unit.course import Course, task, wait


def test_a_process_runs_with_its_params_and_gives_its_result_on() -> None:
    course = Course(
        task("a", params={"who": "$(params.name)", "n": 5}),
        task("b", ("a", "success"), params={"said": "<$(task.a.results.data.said)>"}),
        params=[{"name": "name", "default": "Ada"}],
        results=[{"name": "all", "value": "$(task.b.results.data)"}],
    )
    (first,) = course.doing(RunProcess)
    assert first == RunProcess(ids.task_id("r", "a", 1), "p", {"who": "Ada", "n": 5}, "a", 1, 1)
    assert course.end("a", data={"said": "hi"}) == [RunProcess(ids.task_id("r", "b", 1), "p", {"said": "<hi>"}, "b", 1, 1)]
    assert course.run.status == "running"
    course.end("b", data=[1])
    assert (course.run.status, course.run.ended_ms) == ("succeeded", course.at)


def test_an_end_that_comes_twice_or_of_another_attempt_changes_nothing() -> None:
    course = Course(task("a"), task("b", "a"))
    course.give(TaskEnded(task="a", attempt=2))
    course.give(TaskEnded(task="b", attempt=0))
    course.give(TaskEnded(task="nope", attempt=1))
    assert course.statuses() == {"a": "running", "b": "notstarted"}
    course.end("a")
    course.give(TaskEnded(task="a", attempt=1, status="failed"))
    assert course.statuses() == {"a": "succeeded", "b": "running"}


@pytest.mark.parametrize(
    ("value", "ran"), [("x", {"x"}), ("y", {"y1", "y2"}), (True, {"true"}), ("z", {"else"}), ({"a": 1}, {"else"})]
)
def test_a_decision_takes_the_way_of_its_value_else_the_one_without(value: Any, ran: set[str]) -> None:
    course = Course(
        task("d", type="decision", params={"value": "$(params.data)"}),
        task("x", ("d", "always", "x")),
        task("y1", ("d", "success", "y")),
        task("y2", ("d", "success", "y")),
        task("true", ("d", "always", "true")),
        task("else", "d"),
        task("join", *[(name, "success") for name in ("x", "y1", "y2", "true", "else")]),
        start={"params": {"data": value}},
    )
    for name in ran:
        course.end(name)
    course.end("join")
    assert course.run.status == "succeeded"
    ended = {name for name, status in course.statuses().items() if status == "succeeded"}
    assert ended == {"d", "join"} | ran


def test_what_failed_shuts_the_way_for_all_behind_it_but_failure_paths_go_on() -> None:
    course = Course(
        task("build"), task("test", ("build", "success")), task("lint"),
        task("deploy", ("test", "success"), ("lint", "success")),
        task("tidy", "test", "lint"), task("tell", ("build", "failure"), ("lint", "failure")),
    )  # fmt: skip
    course.end("lint")
    course.end("build", "failed")
    assert course.statuses() == {
        "build": "failed", "test": "skipped", "lint": "succeeded", "deploy": "skipped", "tidy": "running", "tell": "running",
    }  # fmt: skip
    course.end("tidy")
    course.end("tell")
    assert course.run.status == "succeeded", "the workflow says how it goes on"


def test_a_failure_without_a_path_fails_the_run_though_others_go_on() -> None:
    course = Course(task("a"), task("b", "a"))
    course.end("a", "invalid")
    assert course.run.status == "running"
    course.end("b")
    assert (course.run.status, course.run.message) == ("failed", "The task a is invalid: why")


def test_an_event_is_emitted_and_the_task_has_ended() -> None:
    params = {"type": "order.$(params.data.kind)", "data": {"at": "$(run.id)"}, "subject": "$(params.data.n)"}
    course = Course(task("e", type="emit", params=params), start={"params": {"data": {"kind": "done", "n": 5}}, "hops": 2})
    assert course.run.status == "succeeded"
    assert course.doing(EmitEvent) == [EmitEvent(ids.task_id("r", "e", 1), "order.done", {"at": "r"}, "5", 3)]
    bad = Course(task("e", type="emit", params={"type": "$(params.data)"}), start={"params": {"data": "a b"}})
    assert bad.run.message == "The task e is invalid: 'a b' is no type of events"


def test_a_child_run_is_started_tells_its_parent_and_is_cancelled_with_it() -> None:
    course = Course(task("c", type="workflow", params={"x": "$(params.data)"}), task("w", "c"), start={"params": {"data": 1}})
    (started,) = course.doing(StartRun)
    assert started == StartRun(ids.task_id("r", "c", 1), "child", {"x": 1}, Parent("r", "c", 1), 1)
    child = check(
        {
            "name": "child",
            "tasks": [task("n")],
            "results": [{"name": "out", "value": "$(params.x)"}],
            "params": [{"name": "x", "type": "number"}],
        }
    )
    begun = advance(
        started.id,
        None,
        child,
        Start(tenant="t", workflow="child", version=1, trigger="workflow", params={"x": 1}, parent=started.parent, hops=1),
        5,
    )
    done = advance(started.id, begun.run, child, TaskEnded(task="n", attempt=1), 6)
    told = [effect for effect in done.effects if isinstance(effect, TellRun)]
    assert told == [TellRun("r", TaskEnded(task="c", attempt=1, results={"data": {"out": 1}}))]
    assert course.give(Cancel(reason="enough"))[-1] == TellRun(started.id, Cancel(reason="The parent run has ended."))
    course.give(told[0].signal)
    assert (course.run.status, course.run.message, course.statuses()) == (
        "cancelled",
        "enough",
        {"c": "cancelled", "w": "notstarted"},
    )
    stopped = advance(started.id, begun.run, child, Cancel(), 6)
    assert (
        TellRun("r", TaskEnded(task="c", attempt=1, status="failed", results={"data": {}}, reason="The run is cancelled."))
        in stopped.effects
    )


def test_an_events_run_has_its_data_as_params() -> None:
    event = {"type": "x", "data": {"who": "Ada", "data": "mine", "event": "mine"}}
    values = {name: f"$(params.{name})" for name in ("event", "data", "who")}
    course = Course(
        task("a", params=values), params=[{"name": "who", "default": "?"}], start={"trigger": "event", "params": {"event": event}}
    )
    assert course.doing(RunProcess)[0].data == {"event": event, "data": event["data"], "who": "Ada"}
    assert course.run.params == {"event": event}, "what follows from it is not kept"


def test_params_of_the_wrong_type_end_the_run_at_once() -> None:
    declared = [
        {"name": "n", "type": "number", "required": True},
        {"name": "b", "type": "boolean"},
        {"name": "l", "type": "array"},
    ]
    course = Course(task("a"), params=declared, start={"params": {"b": 1, "l": {}}})
    assert (course.run.status, course.effects) == ("invalid", [])
    assert course.run.message == "The param n is required. The param b is no boolean. The param l is no array."
    assert Course(task("a"), params=declared, start={"params": {"n": True}}).run.message == "The param n is no number."
    assert Course(task("a"), params=declared, start={"params": {"n": 1, "b": False, "l": []}}).run.status == "running"


def test_signals_for_no_run_and_a_second_start() -> None:
    assert advance("r", None, None, Callback(topic="t"), 1) == Step(None)
    course = Course(wait("w"))
    before = course.run
    course.give(Start(tenant="t", workflow="w", version=2))
    assert course.run == before
    assert fresh("r", Start(tenant="t", workflow="w", version=1), 5).status == "notstarted"


def test_a_run_whose_workflow_is_gone_ends_and_tells_its_parent() -> None:
    start = Start(tenant="t", workflow="w", version=7, parent=Parent("p", "c", 1))
    step = advance("r", None, None, start, 1)
    assert step.run is not None
    assert (step.run.status, step.run.message) == ("invalid", "Version 7 of the workflow w is not there any more.")
    assert [effect.run_id for effect in step.effects if isinstance(effect, TellRun)] == ["p"]
    assert advance("r", step.run, None, Retry(), 2) == Step(step.run)
