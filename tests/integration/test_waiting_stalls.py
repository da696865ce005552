# SPDX-License-Identifier: Apache-2.0
"""
What waits and is not given back ends the worker, whose next life gives it back: once, and others' meanwhile. On real Kafka, with
an aiokafka that stops fetching one partition of the mover's (`stalling_child`).
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from bridge import redeliveries, topics
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.domain.redelivery import Redelivery
from bridge.domain.retry import tier
from bridge.kafka.client import producing
from bridge.registry.pausing import pause
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from bridge.stack.keeper import Keeper
from processors.watch.lastwords import REASONS
from tests.conftest import StackOfTests
from tests.integration.stalling import Stalling
from tests.integration.test_pausing import decide, newest
from tests.integration.workers import PATIENCE_S, Aftermath, Sender, event, finished, site, until

pytestmark = pytest.mark.timeout(180)

STALL_S = 8.0
"""Much more than a wait takes, also on a busy machine."""
TIER = tier("1s")
STALLED = 0


def again(tenant: str = "acme", **more: object) -> Event:
    return event("again.now", orjson.dumps({"succeeds_at": 2, **more}), tenant)


def completed(settings: Settings, events: list[Event]) -> bool:
    done = {one.event_key for one in finished(settings) if one.status is Status.COMPLETED}
    return {one.key for one in events} <= done


def held_still(settings: Settings, events: list[Event]) -> bool:
    return [one.status for one in newest(settings, events, "again")] == [Status.PENDING] * len(events)


def wait_in_a_transaction(settings: Settings) -> list[Event]:
    """Let an execution wait in each other partition of the tier; behind it lies its transaction's end: a lag, and no record."""
    producer = Producer(producing(settings, linger_ms=0, timeout_s=30) | {"transactional.id": settings.topic_prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    waiting = [again() for _ in range(settings.partitions - 1)]
    for partition, one in enumerate(waiting, STALLED + 1):
        execution = ids.execution_id(one.key, "again")
        position = topics.EVENTS.name(settings), partition, 0
        travels = Redelivery("again", execution, 2, 1, *position, received_ms=round(time.time() * 1000))
        own = redeliveries.headers_of(headers_of(one), travels)
        producer.produce(topics.retries(TIER).name(settings), one.data, record_key(one), partition, headers=own)
    producer.commit_transaction(30)
    return waiting


@pytest.mark.parametrize("stall", ["mover_fetch", "mover_resume"])
def test_what_is_not_given_back_ends_the_worker_and_its_next_life_gives_it_back(
    stack: StackOfTests, tmp_path: Path, stall: str
) -> None:
    settings = site(stack, partitions=3, stall_s=STALL_S, retry_tiers=f"{TIER.label},2h", breaker_failures=0)
    decide(settings, *(lambda c, t=t: create_tenant(c, t) for t in ("acme", "other")), lambda c: pause(c, None, "other"))
    worker, said = Stalling(stack, settings, tmp_path, "1", "again"), list[str]()
    keeper, late = Keeper(worker, said.append), f'evb_overdue_seconds{{topic="{topics.retries(TIER).name(settings)}"}}'
    sent = [again() for _ in range(6)]  # for two partitions: in the third the transaction's end stays the last there is
    held = [again(after_s=3600), again("other")]
    try:
        worker.start()
        before = wait_in_a_transaction(settings)
        until(lambda: completed(settings, before), "the mover works")
        sender = Sender(settings)
        sender.send(*held, partition=1)
        sender.flush()
        until(lambda: held_still(settings, held), "one waits for its time, one is paused")
        worker.order(stall)
        for number, one in enumerate(sent):
            sender.send(one, partition=number % 2)
        sender.flush()
        until(lambda: worker.metric(late) > STALL_S / 2, "what is overdue is shown")
        until(lambda: keeper.look() or said, "the worker ends", PATIENCE_S)
        until(lambda: keeper.look() or worker.running, "it is started again")
        until(lambda: completed(settings, sent), "all is given back")
        until(lambda: worker.answers(), "the worker is back")
        assert worker.stalls() == dict.fromkeys(REASONS, 0) | {"overdue": 1}
        assert worker.asked_to_end() == 0
    finally:
        worker.kill()
    assert said == [f"worker ended with 75; starting it again (log: {worker.log})"]
    (last,) = (line for line in worker.lines() if line["level"] == "critical")
    assert (last["cause"], last["topic"], last["partition"]) == ("overdue", topics.retries(TIER).name(settings), STALLED)
    assert float(str(last["seconds"])) < STALL_S + 3
    assert worker.stacks() > 1
    found = Aftermath.of(settings)
    ended = datetime.fromisoformat(str(last["timestamp"])).timestamp() * 1000
    assert held_still(settings, held), "they waited for as long as what ended the worker, and longer"
    for one in sent:
        wait, done = found.executions[ids.execution_id(one.key, "again")]
        assert [(wait.status, wait.attempt), (done.status, done.attempt)] == [(Status.PENDING, 1), (Status.COMPLETED, 2)]
        assert len(found.results[done.execution_id]) == 1, "nothing is doubled"
        assert (done.started_ms > ended) == (wait.event_position.partition == STALLED), "the others' were given back meanwhile"
