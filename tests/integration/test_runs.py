# SPDX-License-Identifier: Apache-2.0
"""Runs of workflows on the real stack: each task once, whatever is killed; waits, timers, children and what they emit."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from bridge import topics
from bridge.domain.errors import NotFound
from bridge.runs.runs import Runs
from bridge.settings import Settings
from bridge.workflows.run import Run, decode
from bridge.workflows.signals import Callback, Cancel, Retry, Start
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.running import adds, ended, look, of, set_up, signal, start, task, with_runs, workflow
from tests.integration.workers import headers, site, until, working

pytestmark = pytest.mark.timeout(300)


def test_tasks_run_one_after_another_and_pass_their_results_on(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    tenant = set_up(
        settings,
        workflow(
            "order",
            adds("first", "$(params.amount)"),
            task("adder", "process", "first", processRef="adder", params={"n": 5}),
            adds("last", "$(task.adder.results.data)", "adder"),
            task("tell", "emit", "last", params={"type": "t.told", "data": {"sum": "$(task.adder.results.data)"}}),
            params=[{"name": "amount", "type": "number", "default": 1}],
        ),
    )
    with working(stack, settings, tmp_path, processes="quick,adder") as worker:
        (name,) = start(settings, tenant, "order", amount=3)
        assert look(settings, tenant, name)[0].id == name, "it can be looked up at once"
        (run,) = ended(settings, tenant, name)
        assert (run.status, of(run, "first", "adder", "last", "tell")) == ("succeeded", ["succeeded"] * 4)
        assert run.task("adder").results == {"data": 5}
        worker.settle(settings)
    given = [
        json.loads(r.value() or b"") for r in records(settings.kafka.bootstrap_servers, topics.results("quick").name(settings))
    ]
    assert {"n": 3} in given
    assert {"n": 5} in given
    assert {"sum": 5} in given, "what it emits is an event like any other"


def test_a_run_waits_for_a_callback_also_for_one_that_came_before(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    wait = {"topic": "paid"}
    tenant = set_up(
        settings,
        workflow("waits", task("wait", "eventwait", params=wait), adds("then", "$(task.wait.results.data.amount)", "wait")),
        workflow("early", task("sleep", "sleep", params={"duration": 2}), task("wait", "eventwait", "sleep", params=wait)),
    )
    with working(stack, settings, tmp_path, processes="quick"):
        (one,), (two,), (three,) = (start(settings, tenant, "waits") for _ in range(3))
        (early,) = start(settings, tenant, "early")
        until(lambda: {run.status for run in look(settings, tenant, one, two, three)} == {"waiting"}, "they wait")
        signal(settings, tenant, early, Callback(topic="paid", results={"data": {}}))
        signal(settings, tenant, one, Callback(topic="other"))
        signal(settings, tenant, one, Callback(topic="paid", results={"data": {"amount": 7}}))
        signal(settings, tenant, one, Callback(topic="paid", status="failed"))
        signal(settings, tenant, two, Callback(topic="paid", status="failed"))
        signal(settings, tenant, three, Cancel(reason="enough"))
        first, second, third, fourth = ended(settings, tenant, one, two, three, early)
    assert (first.status, first.task("wait").results) == ("succeeded", {"data": {"amount": 7}}), "the first one wins"
    assert (second.status, of(second, "wait", "then")) == ("failed", ["failed", "skipped"])
    assert (third.status, third.message) == ("cancelled", "enough")
    assert fourth.status == "succeeded"
    with pytest.raises(NotFound):
        signal(settings, tenant, str(uuid.uuid4()), Cancel())
    with pytest.raises(NotFound):
        signal(settings, "somebody-else", one, Cancel())


def test_timers_survive_a_restart(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    tenant = set_up(
        settings,
        workflow("sleeps", task("sleep", "sleep", params={"duration": 3}), adds("then", 1, "sleep")),
        workflow("times-out", task("wait", "eventwait", params={"topic": "never"}, timeout=0.05)),
    )
    with working(stack, settings, tmp_path, processes="quick") as worker:
        began = time.monotonic()
        (sleeps,), (late,) = start(settings, tenant, "sleeps"), start(settings, tenant, "times-out")
        until(lambda: {run.status for run in look(settings, tenant, sleeps, late)} == {"waiting"}, "they wait")
        worker.kill()
        worker.start()
        slept, timed_out = ended(settings, tenant, sleeps, late)
        assert time.monotonic() - began >= 3
    assert slept.status == "succeeded"
    assert (timed_out.status, of(timed_out, "wait")) == ("timedout", ["timedout"])


def test_children_tell_their_parents_and_failures_can_be_retried(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack, retry_tiers="300ms")
    tenant = set_up(
        settings,
        workflow(
            "child",
            adds("add", "$(params.n)"),
            results=[{"name": "n", "value": "$(params.n)"}],
            params=[{"name": "n", "type": "number"}],
        ),
        workflow(
            "parent",
            task("child", "workflow", workflowRef="child", params={"n": 4}),
            task("missing", "workflow", "child", workflowRef="nobody"),
        ),
        workflow("fails", task("bad", "process", processRef="slow", params={}), adds("then", 1, "bad")),
    )
    with working(stack, settings, tmp_path, processes="quick,slow"):
        (parent,), (fails,) = start(settings, tenant, "parent"), start(settings, tenant, "fails")
        run, failed = ended(settings, tenant, parent, fails)
        assert of(run, "child", "missing") == ["succeeded", "failed"]
        assert run.task("missing").message == "There is no workflow nobody."
        assert run.task("child").results["data"] == {"n": 4}
        assert (failed.status, of(failed, "bad", "then")) == ("failed", ["failed", "skipped"])
        assert "KeyError" in failed.task("bad").message
        signal(settings, tenant, parent, Retry())
        until(lambda: look(settings, tenant, parent)[0].retries == 1, "it is retried")
        (again,) = ended(settings, tenant, parent)
        assert (again.status, again.task("missing").attempt, again.task("child").attempt) == ("failed", 2, 1)


def test_no_task_is_lost_or_done_again_whatever_is_killed(stack: StackOfTests, tmp_path: Path) -> None:
    settings, chance = site(stack), random.Random(5)
    names = [f"t{number}" for number in range(6)]
    chain = [adds(name, number, *names[number - 1 : number]) for number, name in enumerate(names)]
    chain.insert(3, task("wait", "eventwait", names[2], params={"topic": "go"}))
    chain[4]["dependencies"].append({"taskRef": "wait"})
    tenant = set_up(settings, workflow("chain", *chain))
    with working(stack, settings, tmp_path, processes="quick") as worker:
        ids = start(settings, tenant, "chain", 60)
        for number in range(5):
            time.sleep(chance.uniform(0.2, 0.8))
            worker.kill()
            for one in ids[number * 12 : number * 12 + 12]:
                signal(settings, tenant, one, Callback(topic="go"))
            worker.start()
        runs = ended(settings, tenant, *ids, timeout_s=120)
        assert Counter(run.status for run in runs) == {"succeeded": 60}
        assert all(run.task(name).attempt == 1 for run in runs for name in names)
        worker.settle(settings)
    published = Counter(
        headers(record)["ce_causationid"]
        for record in records(settings.kafka.bootstrap_servers, topics.results("quick").name(settings))
    )
    assert len(published) == 360, "one execution per task and run, each of which may have published twice around a kill"


def test_one_cause_starts_one_run(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    tenant = set_up(settings, workflow("once", adds("add", 1)))
    wanted = Start(tenant=tenant, workflow="once", version=1)

    async def twice(runs: Runs) -> list[str]:
        return [(await runs.start(wanted, cause)).id for cause in ("a", "a", "b", "", "")]

    with working(stack, settings, tmp_path, processes="quick") as worker:
        one, again, other, *more = with_runs(settings, twice)
        assert one == again
        assert len({one, other, *more}) == 4
        ended(settings, tenant, one, other, *more)
        worker.settle(settings)
    assert len([*records(settings.kafka.bootstrap_servers, topics.results("quick").name(settings))]) == 4


def test_a_run_is_gone_thirty_days_after_its_end(stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, moved = site(stack), tmp_path / "clock"
    moved.write_text("0")
    monkeypatch.setitem(os.environ, "TEST_CLOCK", str(moved))
    tenant = set_up(
        settings, workflow("once", adds("add", 1)), workflow("waits", task("wait", "eventwait", params={"topic": "t"}))
    )
    with working(stack, settings, tmp_path, processes="quick") as worker:
        (old,), (waiting,) = start(settings, tenant, "once"), start(settings, tenant, "waits")
        (run,) = ended(settings, tenant, old)
        worker.kill()
        day_ms = 24 * 3600 * 1000
        moved.write_text(str(29 * day_ms))
        worker.start()
        worker.settle(settings)
        assert look(settings, tenant, old) == [run], "a day before"
        worker.kill()
        moved.write_text(str(30 * day_ms + 60_000))
        worker.start()

        until(lambda: _is_gone(settings, tenant, old), "it cannot be looked up any more")
        until(lambda: not _kept(settings, old), "its records have tombstones")
        assert [run.status for run in ended(settings, tenant, waiting)] == ["timedout"], "it took longer than a run may"


def _is_gone(settings: Settings, tenant: str, run_id: str) -> bool:
    try:
        look(settings, tenant, run_id)
    except NotFound:
        return True
    return False


def _kept(settings: Settings, run_id: str) -> list[bytes]:
    """Give the keys of a run that its topic still has once it is compacted."""
    found = records(settings.kafka.bootstrap_servers, topics.RUNS.name(settings))
    newest = {record.key() or b"": record.value() for record in found}
    return [key for key, value in newest.items() if run_id.encode() in key and value is not None]


def test_a_schedule_starts_one_run_per_time_though_every_worker_starts_it(
    stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, moved = site(stack), tmp_path / "clock"
    moved.write_text("0")
    monkeypatch.setitem(os.environ, "TEST_CLOCK", str(moved))
    every_minute = {"schedule": {"enabled": True, "cron": "* * * * *", "timezone": "Europe/Berlin"}}
    tenant = set_up(settings, workflow("ticks", adds("add", 1), triggers=every_minute), workflow("other", adds("add", 1)))

    def runs() -> dict[str, Run]:
        found = {}
        for record in records(settings.kafka.bootstrap_servers, topics.RUNS.name(settings)):
            if record.value():
                run = decode(record.value() or b"")
                found[run.id] = run
        return found

    with (
        working(stack, settings, tmp_path, "0", "quick") as one,
        working(stack, settings, tmp_path, "1", "quick"),
    ):
        moved.write_text("180000")
        until(lambda: len(runs()) >= 3, "three minutes have passed for both")
        one.settle(settings)
        started = runs()
    times = [run.labels["scheduledFor"] for run in started.values()]
    assert len(set(times)) == len(times), "one run for each time"
    assert {run.workflow for run in started.values()} == {"ticks"}
    assert {run.trigger for run in started.values()} == {"schedule"}
    assert {run.tenant for run in started.values()} == {tenant}
