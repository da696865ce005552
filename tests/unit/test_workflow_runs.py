# SPDX-License-Identifier: Apache-2.0
"""What a run does with each signal: kinds of tasks, conditions, early and late events, timeouts, retries, children, bounds."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bridge.domain import ids
from bridge.domain.limits import JSON_DEPTH
from bridge.workflows import run as kept
from bridge.workflows import signals
from bridge.workflows.advance import TOO_LARGE, advance, fresh
from bridge.workflows.document import Workflow
from bridge.workflows.effects import Effect, EmitEvent, RunProcess, StartRun, Step, TellRun
from bridge.workflows.limits import RUN_BYTES
from bridge.workflows.reading import check
from bridge.workflows.retrying import retryable
from bridge.workflows.run import Parent, Run
from bridge.workflows.signals import Approval, Callback, Cancel, Retry, Signal, Start, TaskEnded, Timer

MINUTE = 60_000


class Course:
    """One run under test; every signal is also written and read, given twice, and the run kept and read between two."""

    def __init__(self, *tasks: dict[str, Any], start: dict[str, Any] | None = None, **more: Any) -> None:
        self.workflow: Workflow = check({"name": "w", "tasks": list(tasks), **more})
        self.kept: bytes | None = None
        self.at = 1_764_373_000_000
        self.effects: list[Effect] = []
        self.give(Start(tenant="t", workflow="w", version=1, **(start or {})))

    def give(self, signal: Signal, at: int = 0) -> list[Effect]:
        self.at = max(self.at, at) + 1
        signal = signals.decode(signals.encode(signal))
        before = kept.decode(self.kept) if self.kept else None
        step = advance("r", before, self.workflow, signal, self.at)
        assert advance("r", before, self.workflow, signal, self.at) == step, "the same again after a crash"
        assert step.run is not None
        if step.run == before:
            assert not step.effects
        self.kept = kept.encode(step.run)
        assert kept.decode(self.kept) == step.run
        assert kept.next_due_ms(self.kept) == step.run.next_due_ms
        self.effects += step.effects
        return list(step.effects)

    @property
    def run(self) -> Run:
        assert self.kept is not None
        return kept.decode(self.kept)

    def statuses(self) -> dict[str, str]:
        return {task.name: self.run.task(task.name).status for task in self.workflow.tasks}

    def doing(self, kind: type[Effect]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def end(self, task: str, status: Any = "succeeded", data: Any = None) -> list[Effect]:
        attempt = self.run.task(task).attempt
        return self.give(TaskEnded(task=task, attempt=attempt, status=status, results={"data": data}, reason="why"))


def task(name: str, *before: Any, type: str = "process", **more: Any) -> dict[str, Any]:
    """A task; `before` are names, or (name, condition), or (decision, condition, value)."""
    dependencies = [_dependency(*((one,) if isinstance(one, str) else one)) for one in before]
    own = {"processRef": "p"} if type == "process" else {"workflowRef": "child"} if type == "workflow" else {}
    return {"name": name, "type": type, "dependencies": dependencies, **own, **more}


def _dependency(ref: str, condition: str = "always", value: str = "") -> dict[str, str]:
    return {"taskRef": ref, "executionCondition": condition, "decisionCondition": value}


def wait(name: str, *before: Any, topic: str = "t", **more: Any) -> dict[str, Any]:
    return task(name, *before, type="eventwait", params={"topic": topic}, **more)


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


def test_an_approval() -> None:
    course = Course(task("ask", type="approval"), task("yes", ("ask", "success")), task("no", ("ask", "failure")))
    course.give(Approval(task="ask", approved=False, by="me", comment="not now"))
    course.give(Approval(task="ask", approved=True))
    assert course.statuses() == {"ask": "failed", "yes": "skipped", "no": "running"}
    assert course.run.task("ask").results == {"data": {"approved": False, "approvedBy": "me", "comment": "not now"}}


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


def test_runs_that_start_one_another_for_ever_end() -> None:
    course = Course(task("c", type="workflow"), start={"hops": 17})
    assert (course.run.status, course.doing(StartRun)) == ("invalid", [])


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


def test_what_was_due_after_the_runs_own_end_does_not_happen() -> None:
    course = Course(task("z", type="sleep", params={"duration": 90}), timeout=1)
    course.give(Timer(due_ms=course.at + 10 * MINUTE))
    assert (course.run.status, course.statuses()) == ("timedout", {"z": "cancelled"})


def test_a_retry_of_one_task_begins_what_was_cancelled_with_it() -> None:
    course = Course(task("a"), wait("w", timeout=1))
    course.give(Timer(due_ms=course.at + MINUTE))
    assert course.statuses() == {"a": "cancelled", "w": "timedout"}
    course.give(Retry(task="w"))
    assert course.statuses() == {"a": "running", "w": "waiting"}


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


def test_a_run_is_forgotten_long_after_its_end() -> None:
    course = Course(wait("w"))
    course.give(Cancel())
    due_ms = course.at + 30 * MINUTE
    run = msgspec.structs.replace(course.run, next_due_ms=due_ms)
    for signal, at_ms in ((Timer(due_ms=due_ms - 1), due_ms - 1), (Callback(topic="t"), due_ms + 1)):
        assert advance("r", run, course.workflow, signal, at_ms) == Step(run)
    assert advance("r", run, None, Timer(due_ms=due_ms), 1) == Step(run, forgotten=True)


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
