# SPDX-License-Identifier: Apache-2.0
"""
Random workflows under random signals, lost workers and repeated records, against a reference that does one thing after another.

The reference knows no motions, effects or versions: it has a table of tasks, and asks again and again which may begin.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.workflows import run as kept
from bridge.workflows import signals
from bridge.workflows.advance import advance
from bridge.workflows.document import Workflow
from bridge.workflows.effects import EmitEvent, RunProcess, StartRun
from bridge.workflows.reading import check
from bridge.workflows.signals import Approval, Callback, Cancel, Retry, Signal, Start, TaskEnded, Timer

MINUTE = 60_000
START = 1_000
OUTSIDE = ("process", "workflow")
KINDS = ("process", "workflow", "eventwait", "sleep", "decision", "approval", "emit")
WAITS = ("eventwait", "approval", "sleep")
TOPICS = ("one", "two")
VALUES = ("x", "y")
ENDS = st.sampled_from(["succeeded", "succeeded", "succeeded", "failed", "invalid"])
RARELY = st.integers(0, 9).map(lambda number: number == 7)


class Reference:
    """One run, in the simplest way: `tasks` are the document's, `state` their statuses."""

    def __init__(self, tasks: list[dict[str, Any]], timeout: int) -> None:
        self.tasks = {task["name"]: task for task in tasks}
        self.state = dict.fromkeys(self.tasks, "notstarted")
        self.attempt = dict.fromkeys(self.tasks, 0)
        self.due: dict[str, int] = {}
        self.early: dict[str, str] = {}
        self.had: dict[str, str] = {}  # the topic of the event that a wait has had
        self.timeout, self.run_due, self.status = timeout, START + timeout, "going"
        self.go_on(START)

    def go_on(self, now: int) -> None:
        """Begin and skip until nothing changes; then see whether the run has ended."""
        changed = True
        while changed and self.status == "going":
            changed = False
            for name in self.tasks:
                if self.state[name] == "notstarted" and (way := self.way(name)) != "wait":
                    changed = True
                    if way == "go":
                        self.begin(name, now)
                    else:
                        self.state[name] = "skipped"
        if self.status == "going" and all(s not in ("notstarted", "running", "waiting") for s in self.state.values()):
            bad = [name for name, s in self.state.items() if s in ("failed", "invalid")]
            self.status = "succeeded" if all(self.caught(name) for name in bad) else "failed"

    def caught(self, name: str) -> bool:
        for other, task in self.tasks.items():
            for one in task["dependencies"]:
                if one["taskRef"] == name and one["executionCondition"] == "failure" and self.state[other] != "skipped":
                    return True
        return False

    def way(self, name: str) -> str:
        """go, skip, missed (skipped because something had to succeed) or wait."""
        dependencies = self.tasks[name]["dependencies"]
        if any(self.state[one["taskRef"]] in ("notstarted", "running", "waiting") for one in dependencies):
            return "wait"
        leads = [self.leads(one) for one in dependencies]
        if "no" in leads:
            return "missed"
        return "go" if "yes" in leads or not leads else "skip"

    def leads(self, one: dict[str, str]) -> str:
        name, condition = one["taskRef"], one["executionCondition"]
        state = self.state[name]
        if state == "skipped":
            return "no" if condition == "success" and self.way(name) == "missed" else "-"
        if condition == "success" and state != "succeeded":
            return "no"
        if condition == "failure" and state == "succeeded":
            return "-"
        if self.tasks[name]["type"] != "decision":
            return "yes"
        wanted = {d["decisionCondition"] for t in self.tasks.values() for d in t["dependencies"] if d["taskRef"] == name}
        value = self.tasks[name]["params"]["value"]
        return "yes" if one["decisionCondition"] == (value if value in wanted else "") else "-"

    def begin(self, name: str, now: int) -> None:
        task = self.tasks[name]
        self.attempt[name] += 1
        kind = task["type"]
        self.state[name] = "running" if kind in OUTSIDE else "waiting" if kind in WAITS else "succeeded"
        if kind == "eventwait" and task["params"]["topic"] in self.early:
            self.state[name] = self.early[task["params"]["topic"]]
            self.had[name] = task["params"]["topic"]
        elif kind == "sleep":
            self.due[name] = now + task["params"]["duration"] * 1000
        elif "timeout" in task and self.state[name] in ("running", "waiting"):
            self.due[name] = now + task["timeout"] * MINUTE

    def end(self, name: str, status: str) -> None:
        self.state[name] = status
        self.due.pop(name, None)

    def stop(self, status: str) -> None:
        for name, state in self.state.items():
            if state in ("running", "waiting"):
                self.end(name, "cancelled")
        self.status = status

    def pass_time(self, now: int) -> None:
        """Let one thing after the other happen that was due; the run's own end comes after a task's of the same time."""
        while self.status == "going":
            name = min(self.due, key=lambda one: (self.due[one], one), default="")
            if name and self.due[name] <= min(now, self.run_due):
                sleeps = self.tasks[name]["type"] == "sleep"
                self.end(name, "succeeded" if sleeps else "timedout")
                if not sleeps:
                    self.stop("timedout")
            elif self.run_due <= now:
                self.stop("timedout")
            else:
                return

    def call_back(self, topic: str, status: str) -> None:
        later = False
        for name, task in self.tasks.items():
            if task["type"] == "eventwait" and task["params"]["topic"] == topic:
                if self.state[name] == "waiting":
                    self.end(name, status)
                    self.had[name] = topic
                later = later or self.state[name] == "notstarted"
        if later:
            self.early.setdefault(topic, status)

    def again(self, now: int) -> None:
        if self.status not in ("failed", "timedout", "cancelled"):
            return
        names = {name for name, state in self.state.items() if state in ("failed", "invalid", "timedout", "cancelled")}
        while more := {
            name
            for name, task in self.tasks.items()
            if name not in names and any(d["taskRef"] in names for d in task["dependencies"])
        }:
            names |= more
        for name in names:
            if self.state[name] in ("succeeded", "failed", "invalid") and name in self.had:
                self.early.pop(self.had.pop(name), None)
            self.state[name] = "notstarted"
        self.status, self.run_due = "going", now + self.timeout


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    kinds: list[str] = []
    tasks = []
    for at in range(draw(st.integers(1, 3) | st.integers(4, 9))):
        kind = draw(st.sampled_from(["process", *KINDS, "eventwait", "eventwait", "process"]))
        dependencies = []
        for before in sorted(draw(st.sets(st.integers(0, at - 1), min_size=not draw(RARELY), max_size=3))) if at else []:
            decided = draw(st.sampled_from(["", *VALUES])) if kinds[before] == "decision" else ""
            condition = draw(st.sampled_from(["always", "success", "success", "failure"]))
            dependencies.append({"taskRef": f"t{before}", "executionCondition": condition, "decisionCondition": decided})
        task: dict[str, Any] = {"name": f"t{at}", "type": kind, "dependencies": dependencies}
        if kind == "process":
            task["processRef"] = "p"
        elif kind == "workflow":
            task["workflowRef"] = "w"
        elif kind == "eventwait":
            task["params"] = {"topic": draw(st.sampled_from(TOPICS))}
        elif kind == "sleep":
            task["params"] = {"duration": draw(st.sampled_from([30, 90]))}
        elif kind == "decision":
            task["params"] = {"value": draw(st.sampled_from([*VALUES, "z"]))}
        elif kind == "emit":
            task["params"] = {"type": "e"}
        if kind in ("process", "eventwait", "approval") and draw(RARELY):
            task["timeout"] = draw(st.integers(1, 3))
        kinds.append(kind)
        tasks.append(task)
    return {"name": "w", "tasks": draw(st.permutations(tasks)), "timeout": draw(st.sampled_from([2, 60, 60, 60]))}


def attempt_of(effect: RunProcess | StartRun) -> tuple[str, int]:
    """The task that an effect is for, and which attempt of it."""
    return (effect.parent.task, effect.parent.attempt) if isinstance(effect, StartRun) else (effect.task, effect.attempt)


class Lives(RuleBasedStateMachine):
    """A run as a worker keeps it: effects first, then the state; a worker that dies in between does the signal once more."""

    @initialize(document=documents())
    def begin(self, document: dict[str, Any]) -> None:
        self.workflow: Workflow = check(document)
        self.at = START
        self.kept: bytes | None = None
        self.done: dict[str, Any] = {}  # what the world was asked for, by its id
        self.timer = 0
        self.records: list[tuple[Signal, int]] = []
        self.given(Start(tenant="t", workflow="w", version=1), dies=False)
        self.reference = Reference(document["tasks"], document["timeout"] * MINUTE)

    def given(self, signal: Signal, dies: bool) -> None:
        """Apply a record; a worker that `dies` has carried out the effects and has not kept the run."""
        before = kept.decode(self.kept) if self.kept else None
        for _ in range(2 if dies else 1):
            step = advance("r", before, self.workflow, signals.decode(signals.encode(signal)), self.at)
            for effect in step.effects:
                if isinstance(effect, (RunProcess, StartRun, EmitEvent)):
                    assert self.done.setdefault(effect.id, effect) == effect, "an id stands for one thing"
        assert step.run is not None
        self.kept, self.timer = kept.encode(step.run), step.run.next_due_ms
        self.records.append((signal, self.at))

    def tell(self, signal: Signal, dies: bool, later: int = 0) -> None:
        self.at += later
        self.given(signal, dies)
        self.reference.pass_time(self.at)

    @property
    def open(self) -> list[Any]:
        return sorted(effect for effect in self.done.values() if isinstance(effect, (RunProcess, StartRun)))

    @rule(data=st.data(), status=ENDS, dies=st.booleans(), later=st.integers(0, 40_000))
    def something_outside_ends(self, data: st.DataObject, status: Any, dies: bool, later: int) -> None:
        """Also what has ended before, and what was begun by an attempt that is past."""
        if not self.open:
            return
        running = [at for at in map(attempt_of, self.open) if self.reference.state[at[0]] == "running"]
        at = data.draw(
            st.sampled_from(running or list(map(attempt_of, self.open))) | st.sampled_from(list(map(attempt_of, self.open)))
        )
        self.tell(TaskEnded(task=at[0], attempt=at[1], status=status), dies, later)
        reference = self.reference
        if reference.status == "going" and reference.state[at[0]] == "running" and reference.attempt[at[0]] == at[1]:
            reference.end(at[0], status)
        reference.go_on(self.at)

    @rule(topic=st.sampled_from([*TOPICS, *TOPICS, "nobody"]), status=ENDS, dies=st.booleans(), twice=st.booleans())
    def an_event_comes(self, topic: str, status: Any, dies: bool, twice: bool) -> None:
        for _ in range(1 + twice):
            self.tell(Callback(topic=topic, status=status), dies)
            if self.reference.status == "going":
                self.reference.call_back(topic, status)
                self.reference.go_on(self.at)

    @rule(name=st.sampled_from([f"t{at}" for at in range(9)]), yes=st.booleans(), dies=st.booleans())
    def somebody_answers(self, name: str, yes: bool, dies: bool) -> None:
        self.tell(Approval(task=name, approved=yes), dies)
        reference = self.reference
        if (
            reference.status == "going"
            and reference.tasks.get(name, {}).get("type") == "approval"
            and reference.state[name] == "waiting"
        ):
            reference.end(name, "succeeded" if yes else "failed")
        reference.go_on(self.at)

    @rule(late=st.integers(0, 50_000), dies=st.booleans(), for_all=RARELY)
    def the_timer_fires(self, late: int, dies: bool, for_all: bool) -> None:
        """The one that was asked for last, perhaps late, perhaps when nothing is due any more; rarely it ends the run."""
        if self.timer == self.reference.run_due and not for_all:
            return
        self.tell(Timer(due_ms=self.timer), dies, max(self.timer - self.at, 0) + late)
        self.reference.go_on(self.at)

    @rule(dies=st.booleans(), really=RARELY)
    def somebody_cancels(self, dies: bool, really: bool) -> None:
        if not really:
            return
        self.tell(Cancel(), dies)
        if self.reference.status == "going":
            self.reference.stop("cancelled")

    @rule(dies=st.booleans(), early=RARELY)
    def somebody_retries(self, dies: bool, early: bool) -> None:
        if self.reference.status == "going" and not early:
            return
        self.tell(Retry(), dies)
        self.reference.again(self.at)
        self.reference.go_on(self.at)

    @rule(late=st.integers(0, 20_000))
    def time_goes_on(self, late: int) -> None:
        self.at += late

    @precondition(lambda self: hasattr(self, "reference"))
    @invariant()
    def the_reference_agrees(self) -> None:
        assert self.kept is not None
        run, reference = kept.decode(self.kept), self.reference
        assert {name: run.task(name).status for name in reference.tasks} == reference.state
        assert {name: run.task(name).attempt for name in reference.tasks} == reference.attempt
        assert ("going" if run.status in ("running", "waiting") else run.status) == reference.status
        if reference.status == "going":
            assert run.next_due_ms == min([*reference.due.values(), reference.run_due])
            assert (run.status == "running") == ("running" in reference.state.values())
        else:
            assert run.next_due_ms == 0
        began = {
            (name, n)
            for name, t in reference.tasks.items()
            if t["type"] in OUTSIDE
            for n in range(1, reference.attempt[name] + 1)
        }
        assert set(map(attempt_of, self.open)) == began

    def teardown(self) -> None:
        """Whoever reads all records again has the same run."""
        found = None
        for signal, at in getattr(self, "records", []):
            found = advance("r", found, self.workflow, signal, at).run
        if found is not None:
            assert kept.encode(found) == self.kept


TestLives = pytest.mark.timeout(240)(Lives.TestCase)
TestLives.settings = settings(max_examples=400, stateful_step_count=30)
