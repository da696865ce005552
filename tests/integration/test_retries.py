# SPDX-License-Identifier: Apache-2.0
"""Failed attempts are repeated by policy, on real topics, and nothing about them lives only in a worker."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bridge import redeliveries, topics
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.credentials import Vault
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.domain.redelivery import Redelivery
from bridge.domain.retry import tiers
from bridge.executions import decode
from bridge.kafka.admin import client
from bridge.kafka.client import producing
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant, set_process
from bridge.settings import Settings
from processors.clock import now_ms
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.workers import Aftermath, Sender, event, headers, site, until, working


def again(succeeds_at: int, **more: object) -> Event:
    return event("again.now", orjson.dumps({"succeeds_at": succeeds_at, **more}))


def execution_of(one: Event, process: str = "again") -> str:
    return ids.execution_id(one.key, process)


async def disable(settings: Settings, tenant: str, process: str) -> None:
    async with changing(settings) as changes:
        await create_tenant(changes, tenant)
        await set_process(changes, Vault(settings.secret_keys.get_secret_value()), tenant, process, enabled=False)


def histories(settings: Settings) -> dict[str, list[Execution]]:
    """Every record of every execution, in order."""
    found: dict[str, list[Execution]] = defaultdict(list)
    for record in records(settings.kafka.bootstrap_servers, topics.EXECUTIONS.name(settings)):
        execution = decode(record.value() or b"")
        found[execution.execution_id].append(execution)
    return found


def final(settings: Settings, events: list[Event], process: str = "again") -> bool:
    found = histories(settings)
    return all(any(e.status.final for e in found[execution_of(one, process)]) for one in events)


def test_attempts_follow_the_tiers_and_end_in_a_result_or_a_dead_letter(stack: StackOfTests, tmp_path: Path) -> None:
    """Two tiers make three attempts, each with its record; the waits are as long as the tiers, never shorter."""
    settings = site(stack)
    cured, second, never = again(3), again(2), again(99)
    with working(stack, settings, tmp_path) as worker:
        sender = Sender(settings)
        sender.send(cured, second, never)
        sender.flush()
        until(lambda: final(settings, [cured, second, never]), "every execution has ended")
        assert worker.asked_to_end() == 0
    found = Aftermath.of(settings)
    told = {n: found.executions[execution_of(one)] for n, one in (("cured", cured), ("second", second), ("never", never))}
    assert [(e.status, e.attempt) for e in told["cured"]] == [
        (Status.PENDING, 1),
        (Status.PENDING, 2),
        (Status.COMPLETED, 3),
    ]
    assert [(e.status, e.attempt) for e in told["second"]] == [(Status.PENDING, 1), (Status.COMPLETED, 2)]
    assert [(e.status, e.attempt) for e in told["never"]] == [(Status.PENDING, 1), (Status.PENDING, 2), (Status.FAILED, 3)]
    first, wait, last = told["never"]
    assert first.reason == "exception: ValueError: attempt 1 fails"
    assert first.finished_ms is wait.finished_ms is None
    for earlier, later, least in ((first, wait, 300), (wait, last, 1000)):
        assert earlier.due_ms is not None
        assert earlier.due_ms - earlier.started_ms >= least
        assert later.started_ms >= earlier.due_ms, "nothing comes back early"
    assert (last.event_position, last.received_ms) == (first.event_position, first.received_ms)
    (letter,) = found.letters[execution_of(never)]
    assert letter.value() == never.data
    said = headers(letter)
    assert (said["dl_code"], said["dl_attempts"], said["dl_topic"]) == ("exception", "3", topics.EVENTS.name(settings))
    tries = orjson.loads(said["dl_tries"])
    assert [(t["attempt"], t["reason"]) for t in tries] == [(n, f"exception: ValueError: attempt {n} fails") for n in (1, 2, 3)]
    assert not any(name.startswith("rd_") for name, _ in letter.headers() or [])
    assert len(found.results[execution_of(cured)]) == len(found.results[execution_of(second)]) == 1


def test_a_process_says_how_long_to_wait(stack: StackOfTests, tmp_path: Path) -> None:
    """What it asks for is rounded up to a tier; too long a wait gets the longest tier."""
    settings = site(stack)
    short, longer, longest = (again(2, after_s=s) for s in (0.01, 0.5, 3600))
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(short, longer, longest)
        sender.flush()
        until(lambda: final(settings, [short, longer, longest]), "every execution has ended")
    found = Aftermath.of(settings)
    for one, least in ((short, 300), (longer, 1000), (longest, 1000)):
        wait, done = found.executions[execution_of(one)]
        assert done.status is Status.COMPLETED
        assert wait.reason == "retry-later: not yet"
        assert wait.due_ms is not None
        assert least <= wait.due_ms - wait.started_ms < least * 1.1 + 200


def test_kill_after_the_second_attempt_of_three(stack: StackOfTests, tmp_path: Path) -> None:
    """Attempts are counted in Kafka: a worker killed while an execution waits leads to three attempts and one dead letter."""
    settings = site(stack, retry_tiers="300ms,2s")
    never = again(99)
    with working(stack, settings, tmp_path) as worker:
        sender = Sender(settings)
        sender.send(never)
        sender.flush()
        until(lambda: len(histories(settings)[execution_of(never)]) == 2, "two attempts have failed")
        worker.kill()
        worker.start()
        until(lambda: final(settings, [never]), "the execution has ended")
    found = Aftermath.of(settings)
    assert [(e.status, e.attempt) for e in found.executions[execution_of(never)]] == [
        (Status.PENDING, 1),
        (Status.PENDING, 2),
        (Status.FAILED, 3),
    ]
    assert len(found.letters[execution_of(never)]) == 1


def test_waiting_holds_nothing_up(stack: StackOfTests, tmp_path: Path) -> None:
    """An hour's wait at the head of every partition delays neither new events nor another tier."""
    settings = site(stack, retry_tiers="300ms,1h", breaker_failures=0)
    waiting = [again(9, after_s=3600) for _ in range(40)]
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(*waiting)
        sender.flush()
        topic = topics.retries(tiers("1h")[0]).name(settings)
        until(lambda: len(list(records(settings.kafka.bootstrap_servers, topic))) == 40, "forty executions wait")
        quick, retried = [event("t.now") for _ in range(40)], [again(2) for _ in range(40)]
        began = time.monotonic()
        sender.send(*quick, *retried)
        sender.flush()
        until(lambda: final(settings, quick, "quick") and final(settings, retried), "the others have ended")
        assert time.monotonic() - began < 20
    found = Aftermath.of(settings)
    assert all(found.executions[execution_of(one)][-1].status is Status.PENDING for one in waiting)


def test_the_real_tiers_against_a_moved_clock(stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six attempts over 5 s, 30 s, 5 min, 30 min and 2 h; nothing moves before its time."""
    moved = tmp_path / "moved-ms"
    moved.write_text("0")
    monkeypatch.setenv("TEST_CLOCK", str(moved))
    settings = site(stack, retry_tiers=Settings().retry_tiers)
    let_in_the_future(settings)
    one = again(6)
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(one)
        sender.flush()
        for number, tier in enumerate(tiers(settings.retry_tiers), 1):
            until(lambda n=number: len(histories(settings)[execution_of(one)]) == n, f"attempt {number} fails")  # type: ignore[misc]
            last = histories(settings)[execution_of(one)][-1]
            assert (last.status, last.attempt) == (Status.PENDING, number)
            assert last.due_ms is not None
            assert tier.seconds <= (last.due_ms - last.started_ms) / 1000 < tier.seconds * 1.1 + 5
            if tier.seconds > 60:  # half of the wait is not enough
                move(moved, last.due_ms - now_ms() - round(tier.seconds * 500))
                time.sleep(1)
                assert len(histories(settings)[execution_of(one)]) == number
            move(moved, last.due_ms - now_ms())
        until(lambda: final(settings, [one]), "the sixth attempt has completed")
    assert histories(settings)[execution_of(one)][-1].attempt == 6


def let_in_the_future(settings: Settings) -> None:
    """Let the brokers take records that a clock hours ahead has stamped; they refuse more than one hour."""
    entry = ConfigEntry("message.timestamp.after.max.ms", str(10**12), incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, topics.EXECUTIONS.name(settings), incremental_configs=[entry])
    admin = client(settings)
    for altered in admin.incremental_alter_configs([topic]).values():
        altered.result(timeout=20)


def move(clock: Path, by_ms: int) -> None:
    """Move the workers' clock at one stroke."""
    new = clock.with_suffix(".new")
    new.write_text(str(by_ms))
    new.replace(clock)


def test_redeliveries_of_any_number_leave_new_events_their_way(stack: StackOfTests, tmp_path: Path) -> None:
    """More of them than a worker takes in, all slow: what is new is neither read nor handled later for it."""
    settings = site(stack)
    producer = Producer(producing(settings, linger_ms=50, timeout_s=30))
    body = orjson.dumps({"n": 0, "seconds": 4, "pad": "x" * 2000})
    for n in range(5_000):
        one = event("slow.now", body)
        again = Redelivery("slow", execution_of(one, "slow"), 1, 0, topics.EVENTS.name(settings), n % 4, 0, now_ms())
        own = redeliveries.headers_of(headers_of(one), again)
        producer.produce(topics.REDELIVERIES.name(settings), one.data, record_key(one), n % 4, headers=own)
        producer.poll(0)
    assert producer.flush(30) == 0
    with working(stack, settings, tmp_path):
        until(lambda: len(histories(settings)) > 50, "redeliveries are being handled")
        new = [event("t.new") for _ in range(200)]
        sender = Sender(settings)
        sender.send(*new)
        sender.flush()
        until(lambda: final(settings, new, "quick"), "what is new has ended", 15)
    assert len(histories(settings)) < 2000, "the redeliveries were still being handled"


def test_a_process_that_is_gone_when_its_retry_is_due(stack: StackOfTests, tmp_path: Path) -> None:
    """A process that is not installed any more gives a dead letter, one that was disabled is skipped; nothing waits for ever."""
    settings = site(stack, retry_tiers="300ms,2s")
    gone, disabled = again(99, after_s=2), again(99, after_s=2)
    disabled = event("again.now", disabled.data, tenant="other")
    with working(stack, settings, tmp_path) as worker:
        sender = Sender(settings)
        sender.send(disabled)
        sender.flush()
        until(lambda: histories(settings), "the first attempt has failed")
        asyncio.run(disable(settings, "other", "again"))
        until(lambda: final(settings, [disabled]), "the disabled one has ended")
        sender.send(gone)
        sender.flush()
        until(lambda: histories(settings)[execution_of(gone)], "the first attempt has failed")
        worker.kill()
    with working(stack, settings, tmp_path, processes="quick"):
        until(lambda: final(settings, [gone]), "the other one has ended")
    found = Aftermath.of(settings)
    last = found.executions[execution_of(gone)][-1]
    assert last.status is Status.FAILED
    assert last.reason.startswith("process-unknown: ")
    assert headers(found.letters[execution_of(gone)][0])["dl_code"] == "process-unknown"
    assert found.executions[execution_of(disabled)][-1].status is Status.SKIPPED
