# SPDX-License-Identifier: Apache-2.0
"""An ordered process's events of one key stay in order while one of them waits for a retry; other keys go on."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson
import pytest

from bridge import topics
from bridge.credentials import Vault
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.kafka.groups import owners
from bridge.registry.session import changing
from bridge.registry.tenants import set_process
from bridge.settings import Settings
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.test_retries import disable, final, histories
from tests.integration.test_worker_repeats import usage
from tests.integration.workers import Sender, event, headers, site, until, working

PROCESS = "in-order"


def step(key: str, n: int, fails: int = 0) -> Event:
    return event("order.step", orjson.dumps({"n": n, "fails": fails}), partitionkey=key)


def done(settings: Settings) -> list[tuple[str, int]]:
    """The results in the order of their times: key and number."""
    found = records(settings.kafka.bootstrap_servers, topics.results(PROCESS).name(settings))
    by_id = {headers(r)["ce_id"]: (orjson.loads(r.value() or b""), (r.key() or b"").decode()) for r in found}
    return [(key, value["n"]) for value, key in sorted(by_id.values(), key=lambda one: one[0]["at"])]


def of_key(settings: Settings, key: str) -> list[int]:
    return [n for found, n in done(settings) if found == key]


def test_later_events_of_a_key_wait_and_other_keys_go_on(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    stuck = [step("a", n, fails=2 if n == 0 else 0) for n in range(10)]
    free = [step("b", n) for n in range(10)]
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        for one, other in zip(stuck, free, strict=True):
            sender.send(one, other)
        sender.flush()
        until(lambda: final(settings, [*stuck, *free], PROCESS), "every execution has ended")
    assert of_key(settings, "a") == of_key(settings, "b") == list(range(10))
    assert done(settings)[:10] == [("b", n) for n in range(10)], "the other key did not wait"
    told = histories(settings)
    first = [(e.status, e.attempt) for e in told[ids.execution_id(stuck[0].key, PROCESS)]]
    assert first == [(Status.PENDING, 1), (Status.PENDING, 2), (Status.COMPLETED, 3)]
    waited = told[ids.execution_id(stuck[5].key, PROCESS)]
    assert {e.status for e in waited[:-1]} == {Status.PENDING}
    assert waited[0].reason == f"waits for the execution {ids.execution_id(stuck[0].key, PROCESS)}"
    assert (waited[0].attempt, waited[-1].attempt) == (0, 1), "waiting behind another event costs no attempt"


def test_order_survives_a_kill_and_more_than_an_hour(
    stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts next knows what is open, also what no record of the remembered time tells."""
    settings = site(stack, retry_tiers="300ms,12s")
    head, early, late = step("a", 0, fails=2), step("a", 1), step("a", 2)
    with working(stack, settings, tmp_path) as worker:
        sender = Sender(settings)
        sender.send(head, early)
        sender.flush()
        until(lambda: len(histories(settings)[ids.execution_id(head.key, PROCESS)]) == 2, "the head has failed twice")
        worker.settle(settings)
        worker.kill()
    monkeypatch.setitem(os.environ, "TEST_REMEMBER_MS", "0")
    with working(stack, settings, tmp_path):
        sender.send(late)
        sender.flush()
        until(lambda: final(settings, [head, early, late], PROCESS), "every execution has ended")
    assert of_key(settings, "a") == [0, 1, 2]
    assert histories(settings)[ids.execution_id(late.key, PROCESS)][0].status is Status.PENDING


def test_order_survives_another_workers_coming(stack: StackOfTests, tmp_path: Path) -> None:
    """At a rebalance every partition begins again, those that stay with their worker, too: what is open there is read again."""
    settings = site(stack, retry_tiers="300ms,20s")
    heads = [step(f"k{n}", 0, fails=2) for n in range(settings.partitions)]
    late = [step(f"k{n}", 1) for n in range(settings.partitions)]
    sender = Sender(settings)
    with working(stack, settings, tmp_path) as worker:
        for n, head in enumerate(heads):
            sender.send(head, partition=n)
        sender.flush()
        until(lambda: all(len(histories(settings)[ids.execution_id(h.key, PROCESS)]) == 2 for h in heads), "each failed twice")
        worker.settle(settings)
        worker.kill()
    with working(stack, settings, tmp_path), working(stack, settings, tmp_path, "1"):
        until(lambda: len(set(owners(settings, topics.worker_group(settings)).values())) == 2, "both have their share")
        for n, one in enumerate(late):
            sender.send(one, partition=n)
        sender.flush()
        until(lambda: final(settings, [*heads, *late], PROCESS), "every execution has ended")
    told = histories(settings)
    assert [told[ids.execution_id(one.key, PROCESS)][0].status for one in late] == [Status.PENDING] * settings.partitions
    assert sorted(done(settings)) == sorted((f"k{n}", m) for n in range(settings.partitions) for m in (0, 1))
    assert all(of_key(settings, f"k{n}") == [0, 1] for n in range(settings.partitions))
    assert usage(settings) == {"acme": len(heads) + len(late)}, "what was counted is read again, too"


async def enable(settings: Settings, tenant: str, process: str) -> None:
    async with changing(settings) as changes:
        await set_process(changes, Vault(settings.secret_keys.get_secret_value()), tenant, process, enabled=True)


def test_a_lane_knows_of_the_end_of_what_was_disabled_while_it_waited(stack: StackOfTests, tmp_path: Path) -> None:
    """The shared lane, to which a due attempt comes first, leaves the end to the lane's own worker: that holds the key back."""
    settings, process = site(stack), "patient"
    stuck, later = (event("patient.step", orjson.dumps({"n": n, "fails": 99 - 99 * n}), partitionkey="a") for n in range(2))
    with (
        working(stack, settings, tmp_path, processes=process),
        working(stack, settings, tmp_path, processes=process, lane=process),
    ):
        sender = Sender(settings)
        sender.send(stuck)
        sender.flush()
        until(lambda: histories(settings), "the first attempt has failed")
        asyncio.run(disable(settings, "acme", process))
        until(lambda: final(settings, [stuck], process), "the disabled one has ended")
        asyncio.run(enable(settings, "acme", process))
        sender.send(later)
        sender.flush()
        until(lambda: final(settings, [later], process), "nothing holds the key back any more", 15)
    told = histories(settings)
    assert told[ids.execution_id(stuck.key, process)][-1].status is Status.SKIPPED
    assert [e.status for e in told[ids.execution_id(later.key, process)]] == [Status.COMPLETED], "it waited for nobody"
