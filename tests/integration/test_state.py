# SPDX-License-Identifier: Apache-2.0
"""What processes keep of their keys: as if every event had been applied once and in order, whatever dies or sleeps meanwhile."""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from confluent_kafka import Producer

from bridge import topics
from bridge.cloudevents.kafka import record_key
from bridge.deadletters import run
from bridge.deadletters.index import Wanted, index
from bridge.deadletters.plan import plan_replay
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, Status
from bridge.executions import encode
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import producing
from bridge.redis.keys import Keys
from bridge.registry.session import reading
from bridge.replay import run as past
from bridge.replay.asked import Asked, Mode
from bridge.settings import Settings
from bridge.view.expecting import Expectation
from bridge.view.rebuild import rebuild
from processors.attempts.states import APPLIED, EARLIER, EXECUTION, EXECUTION_ID, REPLAY, STORED
from processors.ending import DOUBT
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.test_retries import histories
from tests.integration.workers import Sender, event, site, until, working

pytestmark = pytest.mark.timeout(240)
SUMS = topics.state("sums")
Model = dict[str, dict[str, Any]]
PROCESSES = "adder,doubler"


def add(key: str, n: int, **given: object) -> Event:
    return event("add.one", orjson.dumps({"n": n, **given}), partitionkey=key)


def double(key: str, **given: object) -> Event:
    return event("double.it", orjson.dumps(given), partitionkey=key)


def model(events: list[Event]) -> Model:
    """Apply every event once, in order; by the keys of the records."""
    found: Model = {}
    for one in events:
        kept, given = found.get(record_key(one).decode()), one.json()
        if one.type == "double.it":
            after = {"sum": 2 * kept["sum"], "added": kept["added"]} if kept else None
        else:
            before = kept or {"sum": 0, "added": []}
            after = {"sum": before["sum"] + given["n"], "added": [*before["added"], given["n"]]}
        if after is not None:
            found[record_key(one).decode()] = after
    return found


def in_kafka(settings: Settings) -> Model:
    """The state of each key: its highest version's."""
    versions: dict[str, dict[int, bytes]] = defaultdict(dict)
    for record in records(settings.kafka.bootstrap_servers, SUMS.name(settings)):
        key, _, version = (record.key() or b"").decode().rpartition("/")
        if (value := record.value()) is not None:
            versions[key][int(version)] = value
    newest = {key: found[max(found)] for key, found in versions.items()}
    return {key: orjson.loads(value) for key, value in newest.items() if value}


def in_view(settings: Settings, model: Model) -> Model:
    """The state of each key of a model as the live view has it."""
    keys, found = Keys(settings.topic_prefix), dict[str, Any]()
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        for name in model:
            tenant, _, key = name.partition("/")
            value: Any = client.get(keys.state(tenant, "sums", key))
            if value is not None:
                found[name] = orjson.loads(value.partition(b"|")[2])
    return found


def mixed(seed: int, many: int, keys: int) -> list[Event]:
    chance = random.Random(seed)
    return [
        double(f"k{chance.randrange(keys)}") if chance.random() < 0.1 else add(f"k{chance.randrange(keys)}", n)
        for n in range(many)
    ]


def sent(settings: Settings, *events: Event) -> None:
    sender = Sender(settings)
    sender.send(*events)
    sender.flush()


def all_completed(settings: Settings, events: list[Event]) -> bool:
    last = {name: found[-1] for name, found in histories(settings).items()}
    names = [ids.execution_id(one.key, "doubler" if one.type == "double.it" else "adder") for one in events]
    return all(name in last and last[name].status is Status.COMPLETED for name in names)


def test_two_processes_share_a_state_and_the_order_of_its_keys(stack: StackOfTests, tmp_path: Path) -> None:
    settings, events = site(stack), mixed(1, 400, 5)
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        sent(settings, *events)
        worker.settle(settings)
        until(lambda: in_view(settings, model(events)) == model(events), "the view shows it")
    assert in_kafka(settings) == model(events)
    assert all_completed(settings, events)


def test_only_what_completes_changes_it_and_a_retry_keeps_its_place(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack, retry_tiers="300ms")
    events = [add("a", 1), add("a", 2, fails=1), add("a", 3, rejects=True), double("a"), add("a", 4)]
    applied = [events[0], events[1], events[3], events[4]]
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        sent(settings, *events)
        until(lambda: all_completed(settings, applied), "every event has ended")
        worker.settle(settings)
        assert in_kafka(settings) == model(applied)
        found = index(settings, Wanted("acme"))
        plan = plan_replay(found, Wanted("acme"))
        assert run.replay(settings, plan, 100, lambda _done: None, 10) == 1
        replayed = lambda: [e for h in histories(settings).values() for e in h if e.replayed_from]  # noqa: E731
        until(replayed, "the replay has ended")
    assert replayed()[-1].status is Status.FAILED, "it is rejected again"
    assert in_kafka(settings) == model(applied)


def test_a_replay_is_applied_after_what_came_since_and_once(stack: StackOfTests, tmp_path: Path) -> None:
    """It is an execution of its own, whose event's offset is older than what was applied."""
    settings = site(stack, retry_tiers="300ms")
    late, early = add("a", 1, fails=2), add("a", 2)
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        sent(settings, late, early)
        until(lambda: all_completed(settings, [early]), "the later one is applied")
        worker.settle(settings)
        assert in_kafka(settings) == model([early])
        plan = plan_replay(index(settings, Wanted("acme")), Wanted("acme"))
        assert run.replay(settings, plan, 100, lambda _done: None, 10) == 1
        until(lambda: in_kafka(settings) == model([early, late]), "the replay is applied")


def test_what_a_process_missed_is_applied_when_it_is_given_later(stack: StackOfTests, tmp_path: Path) -> None:
    """It is the event's first execution in that process, and its offset is older than what was applied, in its retry too."""
    settings = site(stack, retry_tiers="300ms")
    first, missed, last, after = add("a", 1), double("a", fails=1), add("a", 2), add("a", 3)
    with working(stack, settings, tmp_path, processes="adder") as worker:
        sent(settings, first, missed, last)
        worker.settle(settings)
        assert worker.asked_to_end() == 0
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker, reading(settings) as registry:
        what = Asked(Mode.UNPROCESSED, 0, int(time.time() * 1000) + 1, tenant="acme")
        plan = lambda: past.plan(settings, what, Expectation(registry))  # noqa: E731
        until(lambda: plan().count == 1, "the new process is announced")
        assert past.run(settings, plan(), 100, lambda _done: None) == 1
        until(lambda: in_kafka(settings) == model([first, last, missed]), "what was missed is applied")
        sent(settings, after)
        worker.settle(settings)
    assert in_kafka(settings) == model([first, last, missed, after])
    assert all_completed(settings, [missed])


def test_kills_apply_nothing_twice_and_lose_nothing(stack: StackOfTests, tmp_path: Path) -> None:
    settings, events, chance = site(stack), mixed(2, 3000, 60), random.Random(7)
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        for start in range(0, len(events), 500):
            sent(settings, *events[start : start + 500])
            time.sleep(chance.uniform(0.05, 0.4))
            worker.kill()
            worker.start()
        worker.settle(settings)
        assert in_kafka(settings) == model(events)
        assert all_completed(settings, events)
        until(lambda: in_view(settings, model(events)) == model(events), "the view shows it")
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        for name in client.scan_iter(f"{settings.topic_prefix}:*"):
            client.delete(name)
    assert in_view(settings, model(events)) == {}
    assert rebuild(settings) is not None
    assert in_view(settings, model(events)) == model(events), "a rebuilt view equals the lost one"


@pytest.mark.parametrize("known", [True, False])
def test_what_was_applied_before_a_kill_is_recorded_and_not_run_again(stack: StackOfTests, tmp_path: Path, known: bool) -> None:
    """The worker died between the state and the execution's record; or, where a later event followed, long after both."""
    settings = site(stack)
    ensure_topics(settings, [SUMS])
    first, later = add("a", 5), add("a", 6)
    sent(settings, first, later)
    record = next(r for r in records(settings.kafka.bootstrap_servers, topics.EVENTS.name(settings)) if r.value() == first.data)
    name, stored_ms = ids.execution_id(first.key, "adder"), record.timestamp()[1]
    position = Position(record.topic() or "", record.partition() or 0, record.offset() or 0)
    was = Execution(
        execution_id=name,
        event_key=first.key,
        tenant="acme",
        correlation_id=first.key,
        event_id=first.id,
        event_source=first.source,
        event_type=first.type,
        process="adder",
        version="0.9.0",
        status=Status.COMPLETED,
        attempt=1,
        received_ms=stored_ms,
        started_ms=stored_ms,
        finished_ms=stored_ms + 5,
        event_position=position,
        data="5",
        worker="the one before",
    )
    headers = [(APPLIED, b"%d" % (position.offset + (not known))), (STORED, b"%d" % stored_ms)]
    headers += [
        (EXECUTION_ID, (name if known else "another").encode()),
        (EXECUTION, encode(was)),
        (REPLAY, b"0"),
        (EARLIER, b"[]"),
    ]
    producer = Producer(producing(settings, linger_ms=0))
    value = orjson.dumps({"sum": 5, "added": [5]})
    producer.produce(SUMS.name(settings), value, record_key(first) + b"/1", position.partition, headers=headers)
    assert producer.flush(10) == 0
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        worker.settle(settings)
    assert in_kafka(settings) == model([first, later])
    assert histories(settings).get(name, []) == ([was] if known else [])


def test_a_worker_that_slept_while_another_took_over_changes_nothing(stack: StackOfTests, tmp_path: Path) -> None:
    settings, events = site(stack, stall_s=60), mixed(3, 2000, 40)
    with working(stack, settings, tmp_path, "0", PROCESSES) as asleep:
        sent(settings, *events[:1000])
        until(lambda: in_kafka(settings), "the first events are applied")
        asleep.freeze()
        with working(stack, settings, tmp_path, "1", PROCESSES):
            sent(settings, *events[1000:])
            until(lambda: all_completed(settings, events), "the other one has applied every event", 90)
            asleep.thaw()
            assert asleep.ended() == DOUBT
            assert in_kafka(settings) == model(events)
    added = Counter(n for kept in in_kafka(settings).values() for n in kept["added"])
    assert max(added.values()) == 1


def test_every_process_of_a_state_gets_its_turn_at_an_event_and_one_restart_later_none_again(
    stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, events = site(stack, retry_tiers="300ms"), [add("a", 1), add("a", 2, fails=1), add("a", 3)]
    names = [ids.execution_id(one.key, process) for one in events for process in ("adder", "auditor")]

    def done() -> bool:
        found = histories(settings)
        return all(name in found and found[name][-1].status is Status.COMPLETED for name in names)

    with working(stack, settings, tmp_path, processes="adder,auditor") as worker:
        sent(settings, *events)
        until(done, "both have seen all")
        worker.kill()
        monkeypatch.setitem(os.environ, "TEST_REMEMBER_MS", "0")
    with working(stack, settings, tmp_path, processes="adder,auditor") as worker:
        worker.settle(settings)
    assert in_kafka(settings) == {"acme/a": {"sum": 6, "added": [1, 2, 3], "seen": 3}}


def test_events_that_are_emitted_for_a_key_find_its_state(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    with working(stack, settings, tmp_path, processes="adder,emitter") as worker:
        sent(settings, add("a", 1), *(event("emit.add", partitionkey=f"b{n}") for n in range(8)))
        until(lambda: in_kafka(settings).get("acme/a", {}).get("sum") == 9, "all are applied to one state")
        worker.settle(settings)
    found = [r.partition() for r in records(settings.kafka.bootstrap_servers, SUMS.name(settings)) if r.value()]
    assert len(set(found)) == 1


def test_a_process_that_is_gone_does_not_hold_its_keys(stack: StackOfTests, tmp_path: Path) -> None:
    """An event of a key waits for its retry; its process is not installed any more, and the worker is started afresh."""
    settings, one, later = site(stack, retry_tiers="1s"), add("a", 1, fails=1), double("a")
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        sent(settings, one)
        until(lambda: histories(settings), "it waits")
        worker.kill()
    with working(stack, settings, tmp_path, processes="doubler") as worker:
        until(lambda: any(h[-1].status.final for h in histories(settings).values()), "it has ended")
        worker.settle(settings)
        worker.kill()
    sent(settings, later)
    with working(stack, settings, tmp_path, processes="doubler"):
        name = ids.execution_id(later.key, "doubler")
        until(lambda: histories(settings).get(name, [])[-1:] and histories(settings)[name][-1].status.final, "the key goes on")
