# SPDX-License-Identifier: Apache-2.0
"""However long an execution waits, a start reads little: its record is written again, and only by who runs its process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from bridge import topics
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.executions import decode
from bridge.registry.pausing import pause, resume
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings
from processors.background.renewing import AFTER_MS
from processors.tables.record_tables import Note
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.test_order import done, step
from tests.integration.test_pausing import decide
from tests.integration.test_retries import final
from tests.integration.workers import Sender, Worker, event, site, until, working

PROCESS, LANE = "in-order", "patient"
MANY = 50


def offsets(settings: Settings, one: Event, process: str) -> list[int]:
    """Where the records of an execution lie."""
    key = ids.execution_id(one.key, process).encode()
    found = records(settings.kafka.bootstrap_servers, topics.EXECUTIONS.name(settings))
    return [record.offset() or 0 for record in found if record.key() == key]


def values(settings: Settings, one: Event, process: str) -> list[bytes]:
    key = ids.execution_id(one.key, process).encode()
    found = records(settings.kafka.bootstrap_servers, topics.EXECUTIONS.name(settings))
    return [record.value() or b"" for record in found if record.key() == key]


def floor(settings: Settings, group: str, topic: topics.Topic) -> int | None:
    """From where on a start would read the executions of partition 0."""

    async def ask() -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        noted = found.get(TopicPartition(topic.name(settings), 0))
        return str(noted.metadata) if noted else ""

    return Note.read(asyncio.run(ask())).executions


def recovered(worker: Worker) -> int:
    """How many finished executions the last start has read."""
    return [int(str(line["executions"])) for line in worker.lines() if line["event"] == "Tables recovered"][-1]


def test_a_start_reads_what_came_after_the_last_renewal(
    stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, moved = site(stack), tmp_path / "clock"
    moved.write_text("0")
    monkeypatch.setenv("TEST_CLOCK", str(moved))
    monkeypatch.setenv("TEST_REMEMBER_MS", "0")
    head, late, quick = step("a", 0), step("a", 1), [event("t.now") for _ in range(MANY)]
    decide(settings, lambda c: create_tenant(c, "acme"), lambda c: pause(c, PROCESS, None))
    sender = Sender(settings)
    with working(stack, settings, tmp_path) as worker:
        sender.send(head, partition=0)
        sender.flush()
        until(lambda: len(offsets(settings, head, PROCESS)) == 1, "the head is parked")
        sender.send(*quick, partition=0)
        sender.flush()
        worker.settle(settings)
        worker.kill()
        moved.write_text(str(AFTER_MS + 60_000))
        worker.start()
        assert recovered(worker) == MANY, "it has read on from the head's record"
        until(lambda: len(offsets(settings, head, PROCESS)) == 2, "the record is written again")
        assert len(set(values(settings, head, PROCESS))) == 1
        newest = offsets(settings, head, PROCESS)[1]
        until(lambda: floor(settings, topics.worker_group(settings), topics.EVENTS) == newest, "that is noted, without any event")
        worker.kill()
        worker.start()
        assert recovered(worker) == 0, "nothing that was older is read"
        sender.send(late, partition=0)
        sender.flush()
        until(lambda: len(offsets(settings, late, PROCESS)) == 1, "the late one waits")
        why = decode(values(settings, late, PROCESS)[0]).reason
        assert why == f"waits for the execution {ids.execution_id(head.key, PROCESS)}"
        decide(settings, lambda c: resume(c, PROCESS, None))
        until(lambda: final(settings, [head, late], PROCESS), "both have ended")
    assert done(settings) == [("a", 0), ("a", 1)]


def test_each_lane_keeps_and_renews_its_own(stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, moved, processes = site(stack), tmp_path / "clock", f"{PROCESS},{LANE}"
    moved.write_text("0")
    monkeypatch.setenv("TEST_CLOCK", str(moved))
    shared, own = step("a", 0), event("patient.step", orjson.dumps({"n": 0}), partitionkey="a")
    decide(settings, lambda c: create_tenant(c, "acme"), *(lambda c, p=p: pause(c, p, None) for p in (PROCESS, LANE)))
    sender = Sender(settings)
    with (
        working(stack, settings, tmp_path, processes=processes) as worker,
        working(stack, settings, tmp_path, processes=processes, lane=LANE) as other,
    ):
        sender.send(shared, own, partition=0)
        sender.flush()
        until(lambda: len(offsets(settings, own, LANE)) == 1, "it was sent to its lane, and is parked there")
        until(lambda: len(offsets(settings, shared, PROCESS)) == 1, "the other one is parked, too")
        worker.settle(settings)
        group, topic = topics.lane_group(settings, LANE), topics.lane(LANE)
        until(lambda: floor(settings, group, topic) == offsets(settings, own, LANE)[-1], "the lane has committed")
        worker.kill()
        other.kill()
        moved.write_text(str(AFTER_MS + 60_000))
        worker.start()
        other.start()
        until(lambda: len(offsets(settings, own, LANE)) == 2, "the lane renews its own")
        until(lambda: len(offsets(settings, shared, PROCESS)) == 2, "the shared worker renews its own")
        mine, lanes = offsets(settings, shared, PROCESS)[-1], offsets(settings, own, LANE)[-1]
        until(lambda: floor(settings, topics.worker_group(settings), topics.EVENTS) == mine, "the shared worker's note")
        until(lambda: floor(settings, group, topic) == lanes, "the lane's note")
        worker.kill()
        other.kill()
        worker.start()
        other.start()
        for process in (PROCESS, LANE):
            decide(settings, lambda c, p=process: resume(c, p, None))
        until(lambda: final(settings, [own], LANE) and final(settings, [shared], PROCESS), "both have ended")
        until(lambda: floor(settings, group, topic) is None, "and are not read again")
    assert len([v for v in values(settings, own, LANE) if decode(v).status is Status.PENDING]) == 2, "and not on its way back"
