# SPDX-License-Identifier: Apache-2.0
"""W: runs of workflows in flight while everything is killed at random, beside the usual load."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bridge.registry.flow_tokens import Wish, create_flow_token
from bridge.registry.session import changing
from bridge.registry.workflows import apply_workflow
from bridge.topics import RUNS
from bridge.workflows.reading import check
from bridge.workflows.run import Run, decode
from tests.chaos.scenarios.everything import FAULTS
from tests.chaos.scenarios.stage import DOUBTS, Form, Scenario, Stage
from tests.chaos.topics import records

TENANT = "tenant-0"
EVENTS_A_RUN = 10
PATIENCE_S, PAUSE_S = 60.0, 0.2
END_S = 120.0


def _task(name: str, kind: str, *before: str, **more: Any) -> dict[str, Any]:
    dependencies = [{"taskRef": one, "executionCondition": "success"} for one in before]
    return {"name": name, "type": kind, "dependencies": dependencies} | more


def _process(name: str, process: str, *before: str) -> dict[str, Any]:
    return _task(name, "process", *before, processRef=process, params={"n": "$(params.n)"})


CHILD = {"name": "child", "tasks": [_process("inner", "chaos-plain")], "params": [{"name": "n", "type": "number"}]}
PARENT = {
    "name": "parent",
    "triggers": {"event": {"enabled": True}},
    "params": [{"name": "n", "type": "number", "required": True}],
    "tasks": [
        _process("echo", "chaos-echo"),
        _process("nap", "chaos-nap"),
        _task("go", "eventwait", "echo", params={"topic": "go-$(params.n)"}),
        _task("rest", "sleep", "go", params={"duration": 0.3}),
        _task("child", "workflow", "nap", "go", workflowRef="child", params={"n": "$(params.n)"}),
        _process("end", "chaos-echo", "rest", "child"),
    ],
    "results": [{"name": "n", "value": "$(params.n)"}],
}


@dataclass(slots=True)
class Client:
    """Starts runs and calls them back, each request until it is answered; `runs` are the accepted ones by their number."""

    url: str
    token: str
    session: aiohttp.ClientSession
    runs: dict[int, str] = field(default_factory=dict)

    async def go(self, number: int, wait_s: float) -> None:
        event = {"specversion": "1.0", "id": f"run-{number}", "source": "/chaos", "type": "chaos.run", "data": {"n": number}}
        given = await self._ask("/api/v2/event?ref=parent", event, "application/cloudevents+json")
        self.runs[number] = given["id"]
        await asyncio.sleep(wait_s)
        await self._ask(f"/api/v2/callback?ref={given['id']}&topic=go-{number}", {"ok": True}, "application/json")

    async def _ask(self, path: str, body: Any, kind: str) -> Any:
        """Repeat a request that was not answered, or that nobody could answer just then. Raises: TimeoutError, RuntimeError."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": kind}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with self.session.post(self.url + path, data=json.dumps(body), headers=headers) as answer:
                        text = await answer.text()
                        if answer.status == 200:
                            return json.loads(text or "null")
                        if answer.status < 500 and answer.status not in (400, 429):
                            raise RuntimeError(f"{answer.status} {text}")
                except (aiohttp.ClientError, ConnectionError):
                    pass
                await asyncio.sleep(PAUSE_S)


async def _set_up(stage: Stage) -> str:
    async with changing(stage.product.settings) as changes:
        for document in (CHILD, PARENT):
            await apply_workflow(changes, TENANT, check(document))
        return (await create_flow_token(changes, TENANT, Wish("chaos"))).text


async def _runs(stage: Stage, client: Client) -> None:
    """Start runs evenly over the load."""
    many = stage.form.events // EVENTS_A_RUN
    start, tasks = time.monotonic(), []
    for number in range(many):
        await asyncio.sleep(max(0.0, start + number * stage.span_s / many - time.monotonic()))
        tasks.append(asyncio.create_task(client.go(number, stage.random.uniform(0.0, 4.0))))
    await asyncio.gather(*tasks)


def _histories(stage: Stage) -> dict[str, list[Run]]:
    """Give every state of every run, in the order of its versions."""
    found: dict[str, dict[int, Run]] = defaultdict(dict)
    settings = stage.product.settings
    for record in records(settings.kafka.bootstrap_servers, RUNS.name(settings)):
        if record.value():
            key, _, version = (record.key() or b"").decode().rpartition("/")
            found[key][int(version)] = decode(record.value() or b"")
    return {key: [of[version] for version in sorted(of)] for key, of in found.items()}


def repeated(history: list[Run]) -> list[str]:
    """Name the tasks of a run that were not left alone once they had succeeded, or had more than one attempt."""
    found = []
    for before, after in itertools.pairwise(history):
        found += [name for name, state in before.tasks.items() if state.status == "succeeded" and after.tasks[name] != state]
    return found + [name for name, state in history[-1].tasks.items() if state.attempt > 1]


async def _ended(stage: Stage) -> dict[str, list[Run]]:
    deadline = time.monotonic() + END_S
    while True:
        found = await asyncio.to_thread(_histories, stage)
        if all(history[-1].ended for history in found.values()) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)


async def play(stage: Stage) -> None:
    stage.doubts = DOUBTS
    token = await _set_up(stage)
    chosen = [FAULTS[n % len(FAULTS)] for n in range(stage.form.times)]
    stage.random.shuffle(chosen)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        client = Client(stage.product.target.urls[0], token, session)

        async def fire() -> None:
            for fault in chosen:
                await stage.moments(stage.form.times)
                await fault(stage)

        sent, *_ = await asyncio.gather(stage.under_fire(fire), _runs(stage, client))
    await stage.settle(sent)
    _judge(stage, client, await _ended(stage))


def _judge(stage: Stage, client: Client, found: dict[str, list[Run]]) -> None:
    """Say what became of the runs: each that was accepted has succeeded, with its child, and no task was done again."""
    many = stage.form.events // EVENTS_A_RUN
    last = {history[-1].id: history[-1] for history in found.values()}
    lost = [run_id for run_id in client.runs.values() if run_id not in last or last[run_id].status != "succeeded"]
    children = [run for run in last.values() if run.workflow == "child"]
    again = [name for history in found.values() for name in repeated(history)]
    transitions = sum(len(history) for history in found.values())
    stage.row.measured["runs"] = (
        f"{len(client.runs)} accepted, {len(client.runs) - len(lost)} succeeded, {transitions} transitions"
    )
    stage.row.measured["tasks done again after their end"] = str(len(again))
    stage.row.lost += len(lost)
    stage.asked(len(client.runs) == many, f"only {len(client.runs)} of {many} runs could be started")
    stage.asked(not lost, f"{len(lost)} runs were lost or have not succeeded, e.g. {lost[:3]}")
    stage.asked(len(children) == many, f"{len(children)} child runs instead of {many}")
    stage.asked(not again, f"{len(again)} tasks were done again, e.g. {again[:3]}")


SCENARIO = Scenario(
    "W",
    "all at random, with runs in flight",
    "As C6, and beside the load one run of a workflow for every ten events: two processes, a wait that the client calls back, a "
    "sleep, a child run and a last process. Asked: as C6; every run that was accepted succeeds, and no task that has ended is "
    "done again.",
    Form(3_000, 50, 12),
    Form(30_000, 50, 120),
    play,
)
