# SPDX-License-Identifier: Apache-2.0
"""The checker itself: a clean run passes, and every planted fault turns it red."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.workflows.run import Run, TaskState
from tests.chaos import planted as plants
from tests.chaos.accounting import Dead, Executed, Facts, Published, Sent, Stored, account
from tests.chaos.scenarios.workflows import repeated


def clean() -> Facts:
    """Three events: one completed with a result, one failed, one whose answer got lost on the way back."""
    sent = [
        Sent("a", "accepted", "da", "echo", "completed", 1, receipt="ka"),
        Sent("b", "accepted", "db", "fail", "failed", 0, receipt="kb"),
        Sent("c", "unknown", "dc", "skip", "skipped", 0),
        Sent("d", "refused", "dd", "echo", "completed", 1),
        Sent("e", "unknown", "de", "echo", "completed", 1),
    ]
    stored = [Stored("a", "ka", "da", 0, 0), Stored("b", "kb", "db", 0, 1), Stored("c", "kc", "dc", 1, 0)]
    executed = [
        Executed("xa", "ka", "echo", "completed", ("ra",)),
        Executed("xb", "kb", "fail", "failed"),
        Executed("xc", "kc", "skip", "skipped"),
    ]
    shown = {("ka", "echo"): "completed", ("kb", "fail"): "failed", ("kc", "skip"): "skipped"}
    return Facts(sent, stored, executed, [Published("ra", "xa", "p")], [Dead("xb", "db")], shown)


def test_clean_run_is_accounted_for() -> None:
    findings = account(clean())
    assert not findings, str(findings)


def test_repetitions_with_equal_ids_are_counted_not_blamed() -> None:
    facts = clean()
    facts.stored.append(facts.stored[0])
    facts.executed.append(facts.executed[0])
    facts.published.append(facts.published[0])
    findings = account(facts)
    assert not findings, str(findings)
    assert findings.repeats == {"events": 1, "results": 1, "executions": 1}


PLANTED: dict[str, tuple[str, Callable[[Facts], object]]] = {
    "a dropped event": ("lost event", lambda f: f.stored.pop(0)),
    "an event nobody sent": ("phantom event", lambda f: f.stored.append(Stored("z", "kz", "dz", 0, 9))),
    "a refused event that was stored": ("phantom event", lambda f: f.stored.append(Stored("d", "kd", "dd", 0, 9))),
    "changed bytes": ("bytes changed", lambda f: f.stored.__setitem__(0, replace(f.stored[0], digest="other"))),
    "one event under two keys": ("two keys for one event", lambda f: f.stored.append(Stored("a", "k2", "da", 0, 9))),
    "a receipt for another event": (
        "receipt names another event",
        lambda f: f.sent.__setitem__(0, replace(f.sent[0], receipt="k9")),
    ),
    "no execution": ("not exactly one final status", lambda f: f.executed.pop(0)),
    "only an unfinished execution": (
        "not exactly one final status",
        lambda f: f.executed.__setitem__(0, replace(f.executed[0], status="in progress")),
    ),
    "two final statuses": (
        "not exactly one final status",
        lambda f: f.executed.append(replace(f.executed[0], status="failed")),
    ),
    "the wrong final status": (
        "not exactly one final status",
        lambda f: f.executed.__setitem__(0, replace(f.executed[0], status="skipped")),
    ),
    "a missing result": ("missing result", lambda f: f.published.pop(0)),
    "a result too many": ("unexpected result", lambda f: f.published.append(Published("r9", "xa", "p"))),
    "one result id, two contents": (
        "one result id with two contents",
        lambda f: f.published.append(replace(f.published[0], digest="q")),
    ),
    "a missing dead letter": ("no dead letter with the original bytes", lambda f: f.dead.pop(0)),
    "a dead letter with other bytes": (
        "no dead letter with the original bytes",
        lambda f: f.dead.__setitem__(0, replace(f.dead[0], digest="other")),
    ),
    "a dead letter without failure": (
        "dead letter of an event that did not fail",
        lambda f: f.dead.append(Dead("xa", "da")),
    ),
    "a dead letter before the last attempt": (
        "not the attempts of its policy",
        lambda f: f.dead.__setitem__(0, replace(f.dead[0], attempts=2)),
    ),
    "a look-up that disagrees": (
        "look-up disagrees with the topic",
        lambda f: (f.shown or {}).__setitem__(("ka", "echo"), "pending"),
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_fault_turns_the_check_red(planted: str) -> None:
    kind, plant = PLANTED[planted]
    facts = clean()
    plant(facts)
    assert kind in account(facts).wrong


def many(count: int = 10_000) -> Facts:
    """A clean run of so many events in 50 lanes, each completed with a result that carries its number."""
    numbers = range(count)
    sent = [Sent(f"e{n}", "accepted", f"d{n}", "echo", "completed", 1, f"k{n}", f"lane-{n % 50}", n) for n in numbers]
    stored = [Stored(f"e{n}", f"k{n}", f"d{n}", n % 5, n // 5) for n in numbers]
    executed = [Executed(f"x{n}", f"k{n}", "echo", "completed", (f"r{n}",)) for n in numbers]
    published = [Published(f"r{n}", f"x{n}", f"p{n}", n) for n in numbers]
    return Facts(sent, stored, executed, published, [])


def test_a_clean_run_in_lanes_is_in_order() -> None:
    findings = account(many(1000))
    assert not findings, str(findings)


def test_the_mutations_turn_the_check_red_in_ten_thousand_events() -> None:
    assert plants.blind(many(), 1) == []


@pytest.mark.parametrize("seed", range(10))
def test_the_mutations_turn_the_check_red_wherever_they_are_planted(seed: int) -> None:
    assert plants.blind(many(200), seed) == []


def test_what_is_repeated_or_tried_again_is_not_out_of_order() -> None:
    facts = many(200)
    facts.stored.append(facts.stored[0])
    facts.published.append(facts.published[0])
    late = next(n for n, p in enumerate(facts.published) if p.id == "r7")
    facts.published.append(facts.published.pop(late))
    assert account(facts).wrong.keys() == {"result out of order"}
    facts.executed.insert(0, replace(facts.executed[7], status="pending"))
    assert not account(facts)
    facts.sent[7] = replace(facts.sent[7], ordered=True)
    assert account(facts).wrong.keys() == {"result out of order"}, "whoever keeps order keeps it then, too"


def test_two_results_of_one_event_are_in_order() -> None:
    facts = many(200)
    facts.sent[3] = replace(facts.sent[3], results=2)
    facts.executed[3] = replace(facts.executed[3], results=("r3", "r3b"))
    facts.published.insert(4, replace(facts.published[3], id="r3b"))
    assert not account(facts)


def test_a_task_that_is_done_again_is_seen() -> None:
    def state(*tasks: TaskState) -> Run:
        return Run(id="r", tenant="t", workflow="w", version=1, tasks={f"t{n}": task for n, task in enumerate(tasks)})

    running, done, again = TaskState("running", 1), TaskState("succeeded", 1, ended_ms=5), TaskState("succeeded", 1, ended_ms=6)
    assert repeated([state(running, running), state(done, running), state(done, done)]) == []
    assert repeated([state(running), state(done), state(again)]) == ["t0"]
    assert repeated([state(running), state(done), state(running)]) == ["t0"]
    assert repeated([state(TaskState("succeeded", 2))]) == ["t0"]
