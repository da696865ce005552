# SPDX-License-Identifier: Apache-2.0
"""`evb workers` on Kafka alone: live and dead workers, partitions of somebody and of nobody, and what each process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition

from bridge import topics
from bridge.domain.retry import tier
from bridge.kafka.admin import client, ensure_topics
from bridge.kafka.client import producing
from bridge.registry.objects import (
    AnnouncedBreaker,
    AnnouncedProcess,
    AnnouncedRate,
    Announcement,
    encode,
    ref_of,
)
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.workers import Sender, event

JUST_STARTED = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE)
RECORD = (AnnouncedProcess("record", "1.0.0", ("*",)),)


def announced(settings: Settings, slot: str, seconds_ago: float, **more: Any) -> None:
    """Write a heartbeat as the worker of a slot (of a `lane`) wrote it then."""
    at_ms = int((time.time() - seconds_ago) * 1000)
    said: dict[str, Any] = {"processes": RECORD, "at_ms": at_ms, "since_ms": at_ms, "instance": f"host-{slot}:17/{slot}"}
    value = Announcement(slot=slot, **(said | more))
    ref, producer = ref_of(value), Producer(producing(settings, linger_ms=0))
    producer.produce(topics.REGISTRY.name(settings), encode(value), ref.record_key(None), ref.partition(settings.partitions))
    assert producer.flush(10) == 0


def finished(settings: Settings, group: str, upto: TopicPartition) -> None:
    """Let a group without members have committed an offset."""
    admin = client(settings)  # it has to live until the answer
    asked, until = [ConsumerGroupTopicPartitions(group, [upto])], time.monotonic() + 20
    while True:
        (done,) = admin.alter_consumer_group_offsets(asked)[group].result(timeout=10).topic_partitions
        if done.error is None:
            return
        assert done.error.code() in JUST_STARTED, done.error
        assert time.monotonic() < until, done.error
        time.sleep(0.1)


def evb_workers(stack: StackOfTests, settings: Settings, *options: str) -> str:
    return evb(stack, settings, "workers", *options)


def evb(stack: StackOfTests, settings: Settings, *words: str) -> str:
    command = [sys.executable, "-m", "bridge.cli", *words]
    environ = os.environ | stack.environ(settings) | {"EVB_REDIS__URL": "redis://127.0.0.1:1"}  # nobody: it is not asked
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_before_any_worker_was_there_all_partitions_are_nobodys(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=2)
    ensure_topics(settings, [topics.retries(tier("7m"))])
    found = json.loads(evb_workers(stack, settings, "--json"))
    assert (found["workers"], found["processes"]) == ([], [])
    assert [(row["topic"], row["owner"], row["lag"]) for row in found["partitions"]] == [
        (topic.name(settings), None, 0) for topic in topics.READ_BY_WORKERS for _ in range(2)
    ]
    waiting = [*(f"retries.{tier}" for tier in settings.retry_tiers.split(",")), "retries.7m", "parked"]
    assert found["waiting"] == [{"topic": f"{settings.topic_prefix}.{name}", "executions": 0} for name in waiting]
    shown = evb_workers(stack, settings)
    assert "No worker has announced itself" in shown
    assert shown.count("nobody") == 8


def test_dead_workers_and_partitions_of_nobody_are_seen_as_such(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=2)
    ensure_topics(settings)
    sender, events = Sender(settings), topics.EVENTS.name(settings)
    for number in range(9):
        sender.send(event("t.waits"), partition=number % 2)
    sender.flush()
    announced(settings, "0", 95)
    announced(settings, "2", 5, ended="asked")
    announced(settings, "3", 5, ended="fetch", stalls={"fetch": 2})
    rate = AnnouncedRate("record", 60.0, {"completed": 90, "timeout": 30}, 0.004, 1.5)
    announced(settings, "1", 1, rates=(rate,))
    finished(settings, topics.worker_group(settings), TopicPartition(events, 0, 2))
    ensure_topics(settings, [topics.lane("slow")])
    for topic in (topics.lane("slow"), topics.PARKED):
        aside = Sender(settings, topic)
        aside.send(event("t.waits"), partition=1)
        aside.flush()
    found, shown = json.loads(evb_workers(stack, settings, "--json")), evb_workers(stack, settings)
    assert {row["slot"]: (row["where"], row["state"]) for row in found["workers"]} == {
        "0": ("host-0:17", "silent"),
        "1": ("host-1:17", "live"),
        "2": ("host-2:17", "stopped"),
        "3": ("host-3:17", "stalled"),
    }
    assert found["workers"][0]["heartbeat_age_s"] > 90
    assert found["workers"][3]["stalls"] == {"fetch": 2}
    assert [(row["owner"], row["lag"], row["in_flight"]) for row in found["partitions"]] == [
        (None, 3, None),
        (None, 4, None),
        *[(None, 0, None)] * 7,
        (None, 1, None),
    ]
    assert [row for row in found["waiting"] if row["executions"]] == [{"topic": topics.PARKED.name(settings), "executions": 1}]
    (did,) = found["processes"]
    assert (did["per_second"], did["outcomes"]) == (2.0, {"completed": 90, "timeout": 30})
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[1].startswith("0 – host-0:17 silent "), shown
    assert f"{events} 0 nobody 3 ? ? ?" in lines
    assert f"{topics.lane('slow').name(settings)} 1 nobody 1 ? ? ?" in lines
    assert f"{topics.PARKED.name(settings)} 1" in lines
    assert "1 – record 2/s 4 ms 1500 ms completed 90, timeout 30 60 s" in lines


def test_what_rests_is_listed_as_long_as_a_live_worker_says_so(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=2)
    ensure_topics(settings, [topics.lane("slow")])
    slow = AnnouncedProcess("slow", "2.0.0", ("*",))
    announced(settings, "0", 95, breakers=(AnnouncedBreaker("acme", "record", 30, "timeout"),))
    for slot in ("1", "2"):
        announced(
            settings, slot, 1, processes=(*RECORD, slow), breakers=(AnnouncedBreaker("other", "webhook w1", 12, "rejected"),)
        )
    listed = json.loads(evb(stack, settings, "processes", "list", "--json"))
    rests = [f"in slot {slot} for other: 12 attempts in a row failed, the last with rejected" for slot in ("1", "2")]
    assert [(row["process"], row["version"], row["paused"], row["resting"]) for row in listed] == [
        ("record", "1.0.0", "no", "no"),
        ("slow", "2.0.0", "no", "?"),  # whether it rests, its lane's worker knows
        ("webhook w1", "-", "no", "; ".join(rests)),
    ]
    newer, failing = (AnnouncedProcess("slow", "2.1.0", ("*",)),), (AnnouncedBreaker("acme", "slow", 20, "timeout"),)
    rests = ["in slot 1 of lane slow for acme: 20 attempts in a row failed, the last with timeout"]
    for ago, breakers, resting in ((95, failing, "?"), (1, failing, *rests), (1, (), "no")):
        announced(settings, "1", ago, lane="slow", processes=newer, breakers=breakers)
        listed = json.loads(evb(stack, settings, "processes", "list", "--json"))
        assert [(row["version"], row["resting"]) for row in listed if row["process"] == "slow"] == [("2.0.0", resting)]


def test_what_kafka_has_deleted_is_not_counted_as_waiting(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=2)
    ensure_topics(settings)
    sender, parked = Sender(settings, topics.PARKED), topics.PARKED.name(settings)
    for _ in range(5):
        sender.send(event("t.waits"), partition=1)
    sender.flush()
    finished(settings, topics.mover_group(settings), TopicPartition(parked, 1, 1))
    admin = client(settings)  # it has to live until the answer
    deleted = admin.delete_records([TopicPartition(parked, 1, 3)])
    assert [one.result(timeout=10).low_watermark for one in deleted.values()] == [3]
    waiting = json.loads(evb_workers(stack, settings, "--json"))["waiting"]
    assert [row for row in waiting if row["executions"]] == [{"topic": parked, "executions": 2}]
