# SPDX-License-Identifier: Apache-2.0
"""
What a worker cannot vouch for: events that Kafka deleted are said, counted and passed, and doubt ends the process with 70, after
which a supervisor starts it again.
"""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bridge import topics
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.kafka.admin import client
from bridge.kafka.groups import committed
from bridge.settings import Settings
from bridge.stack.keeper import Keeper
from tests.conftest import StackOfTests
from tests.integration.workers import Aftermath, Sender, Worker, event, kept, site, until


def delete_before(settings: Settings, partition: int, offset: int) -> None:
    """Let Kafka delete what lies before an offset, as the retention does."""
    upto = TopicPartition(topics.EVENTS.name(settings), partition, offset)
    admin = client(settings)  # it has to live until the answer
    for deleted in admin.delete_records([upto]).values():
        assert deleted.result(timeout=10).low_watermark == offset


def limit_records(settings: Settings, topic: topics.Topic, size: str) -> None:
    """Change the largest record that the brokers take, as a hasty operator might."""
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    changing = ConfigResource(ResourceType.TOPIC, topic.name(settings), incremental_configs=[entry])
    admin = client(settings)
    for changed in admin.incremental_alter_configs([changing]).values():
        changed.result(timeout=10)


def assert_completed(settings: Settings, sent: list[Event]) -> None:
    """Each of these events has one final status, and its result."""
    after = Aftermath.of(settings)
    for one in sent:
        execution_id = ids.execution_id(one.key, "quick")
        assert {each.status for each in after.executions[execution_id]} == {Status.COMPLETED}
        assert {each.value() for each in after.results[execution_id]} == {one.data}


def test_a_backlog_that_outlived_the_retention_is_counted_and_passed(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack, partitions=3)
    sender, worker = Sender(settings), Worker(stack, settings, tmp_path, processes="quick")
    before, lost, left = ([event("t.kept") for _ in range(9)] for _ in range(3))
    try:
        for n, one in enumerate(before):
            sender.send(one, partition=n % 3)
        sender.flush()
        worker.start()
        worker.settle(settings)
        assert worker.asked_to_end() == 0

        for n, one in enumerate(lost):
            sender.send(one, partition=n % 2)  # 5 and 4: the third partition loses nothing
        for one in left:
            sender.send(one, partition=0)
        sender.flush()
        delete_before(settings, 0, 3 + 5)
        delete_before(settings, 1, 3 + 4)  # to its very end
        worker.start()
        worker.settle(settings)
        assert committed(settings, topics.worker_group(settings), topics.EVENTS) == {0: 17, 1: 7, 2: 3}
        assert worker.metric("evb_events_expired_total") == 9
        said = {line["partition"]: line["events"] for line in worker.lines() if "outlived the retention" in str(line["event"])}
        assert said == {0: 5, 1: 4}

        after = [event("t.after") for _ in range(3)]
        for n, one in enumerate(after):
            sender.send(one, partition=n)
        sender.flush()
        worker.settle(settings)
        assert worker.metric("evb_events_expired_total") == 9, "said once"
        assert worker.asked_to_end() == 0
    finally:
        worker.kill()
    assert_completed(settings, before + left + after)


def test_a_gap_ends_the_worker_and_a_supervisor_starts_it_again(stack: StackOfTests, tmp_path: Path) -> None:
    settings, said = site(stack, partitions=1), list[str]()
    sender, worker = Sender(settings), Worker(stack, settings, tmp_path, processes="quick")
    first, lost, left = event("t.first"), [event("t.lost") for _ in range(20)], [event("t.left") for _ in range(20)]
    try:
        worker.start()
        sender.send(first)
        sender.flush()
        worker.settle(settings)
        keeper = Keeper(worker, said.append)
        worker.freeze()
        sender.send(event("t.lost"))
        sender.flush()  # a fetch that was on its way may still bring this one, and no more
        sender.send(*lost, *left)
        sender.flush()
        delete_before(settings, 0, 2 + len(lost))
        worker.thaw()
        kept(keeper, settings)
        assert said == [f"worker ended with 70; starting it again (log: {worker.log})"]
        (last,) = (line for line in worker.lines() if line["level"] == "critical")
        assert last["reason"] == "records are missing in what was read"
        assert worker.metric("evb_events_expired_total") in (20, 21)
        assert worker.asked_to_end() == 0
    finally:
        worker.kill()
    assert_completed(settings, [first, *left])


def test_a_record_that_cannot_be_delivered_ends_the_worker_until_it_can(stack: StackOfTests, tmp_path: Path) -> None:
    settings, said = site(stack, partitions=1), list[str]()
    sender, worker = Sender(settings), Worker(stack, settings, tmp_path, processes="quick")
    sent = [event("t.undelivered") for _ in range(5)]
    try:
        worker.start()
        keeper = Keeper(worker, said.append)
        limit_records(settings, topics.EXECUTIONS, "100")
        sender.send(*sent)
        sender.flush()
        until(lambda: (keeper.look(), len(said) >= 2)[1], "it ended twice")
        assert said == [f"worker ended with 70; starting it again (log: {worker.log})"] * len(said)
        reasons = {line["reason"] for line in worker.lines() if line["level"] == "critical"}
        assert reasons == {"an execution's record could not be delivered"}
        assert committed(settings, topics.worker_group(settings), topics.EVENTS).get(0, 0) == 0
        limit_records(settings, topics.EXECUTIONS, str(8 * 1024 * 1024))
        kept(keeper, settings)
        assert worker.asked_to_end() == 0
    finally:
        worker.kill()
    assert_completed(settings, sent)
    assert all(len(many) == 1 for many in Aftermath.of(settings).executions.values())
