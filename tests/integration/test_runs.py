# SPDX-License-Identifier: Apache-2.0
"""Runs of workflows on the real stack: each task once, whatever is killed; waits, timers, children and what they emit."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import KafkaError

from bridge import topics
from bridge.domain.errors import NotFound
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.redis.pipe import Pipe
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant
from bridge.registry.workflows import apply_workflow
from bridge.runs.runs import Runs
from bridge.runs.sending import Sender
from bridge.settings import Settings
from bridge.workflows.reading import check
from bridge.workflows.run import Run
from bridge.workflows.signals import Callback, Cancel, Retry, Start
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.workers import headers, site, until, working

pytestmark = pytest.mark.timeout(300)
T = TypeVar("T")


def task(name: str, type_: str, *after: str, **members: Any) -> dict[str, Any]:
    before = [{"taskRef": one, "executionCondition": "success"} for one in after]
    return {"name": name, "type": type_, "dependencies": before} | members


def adds(name: str, n: Any, *after: str) -> dict[str, Any]:
    """A task that runs the tests' process `quick`."""
    return task(name, "process", *after, processRef="quick", params={"n": n})


def workflow(name: str, *tasks: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "tasks": list(tasks)} | members


def set_up(settings: Settings, *documents: dict[str, Any]) -> str:
    """Make a tenant with workflows; a worker that starts now knows them."""
    tenant = f"t-{uuid.uuid4().hex[:8]}"

    async def make() -> None:
        async with changing(settings) as changes:
            await create_tenant(changes, tenant)
            for one in documents:
                await apply_workflow(changes, tenant, check(one))

    asyncio.run(make())
    return tenant


def with_runs(settings: Settings, use: Callable[[Runs], Awaitable[T]]) -> T:
    async def work() -> T:
        loop = asyncio.get_running_loop()
        pipe = Pipe(settings.redis, loop)
        producer = LoopProducer(producing(settings, linger_ms=0), loop, _fatal)
        assert await pipe.wait_connected(10)
        try:
            return await use(Runs(settings, pipe, Sender(settings, producer)))
        finally:
            await producer.close(10)
            await pipe.close()

    return asyncio.run(work())


def _fatal(error: KafkaError) -> None:
    raise AssertionError(str(error))


def start(settings: Settings, tenant: str, name: str, many: int = 1, **params: Any) -> list[str]:
    async def begin(runs: Runs) -> list[str]:
        wanted = [Start(tenant=tenant, workflow=name, version=1, params=params) for _ in range(many)]
        return [run.id for run in await asyncio.gather(*map(runs.start, wanted))]

    return with_runs(settings, begin)


def signal(settings: Settings, tenant: str, run_id: str, what: Any) -> None:
    with_runs(settings, lambda runs: runs.signal(tenant, run_id, what))


def look(settings: Settings, tenant: str, *ids: str) -> list[Run]:
    async def find(runs: Runs) -> list[Run]:
        return list(await asyncio.gather(*(runs.find(tenant, one) for one in ids)))

    return with_runs(settings, find)


def ended(settings: Settings, tenant: str, *ids: str, timeout_s: float = 40) -> list[Run]:
    until(lambda: all(run.ended for run in look(settings, tenant, *ids)), "every run has ended", timeout_s)
    return look(settings, tenant, *ids)


def of(run: Run, *names: str) -> list[str]:
    return [run.task(name).status for name in names]


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
