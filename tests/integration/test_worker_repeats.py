# SPDX-License-Identifier: Apache-2.0
"""What is read twice is done once, and counted once: repeated events, kills with -9, and offsets set back to the beginning."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import orjson
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition

from bridge import topics
from bridge.domain import ids
from bridge.domain.execution import Status
from bridge.kafka.client import connection
from bridge.redis.keys import Keys
from bridge.settings import Settings
from bridge.view.rebuild import rebuild
from tests.conftest import StackOfTests, as_environ
from tests.integration.test_lanes import shown
from tests.integration.test_retries import disable
from tests.integration.workers import Aftermath, Sender, Worker, ends, event, forget_member, site, until

KILLS = 3
ROUND = 1500
"""Events between two kills: more than a worker finishes before the next look of a test."""


def set_back(settings: Settings) -> None:
    """Commit the beginning of every partition, as somebody who wants everything read again."""
    forget_member(settings)
    consumer = Consumer(connection(settings) | {"group.id": topics.worker_group(settings)})
    name = topics.EVENTS.name(settings)
    consumer.commit(offsets=[TopicPartition(name, p, 0) for p in range(settings.partitions)], asynchronous=False)
    consumer.close()


def executed(settings: Settings, more_than: int) -> bool:
    """Say whether that many execution records were written."""
    return sum(ends(settings, topics.EXECUTIONS).values()) > more_than


def usage(settings: Settings) -> Counter[str]:
    """Give the events per tenant that `evb usage` shows."""
    shown = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "usage", "--json"],
        env=os.environ | as_environ(settings),
        capture_output=True,
        check=True,
        timeout=30,
    )
    counts: Counter[str] = Counter()
    for row in orjson.loads(shown.stdout):
        counts[row["tenant"]] += row["events"]
    return counts


def test_a_finished_execution_never_runs_again(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    sender, worker = Sender(settings), Worker(stack, settings, tmp_path)
    sent = [event("t.repeated"), event("faulty.skips"), event("faulty.rejects"), event("emit.one")]
    try:
        sender.send(*sent, *sent)  # at once: the second is read while the first runs
        sender.flush()
        worker.start()
        worker.settle(settings)
        sender.send(*sent)  # later: the first has ended
        sender.flush()
        worker.settle(settings)
        assert worker.metric("evb_executions_repeated_total") == 2 * len(sent)
        before = Aftermath.of(settings)

        worker.kill()
        set_back(settings)
        worker.start()
        worker.settle(settings)
        assert worker.metric("evb_executions_repeated_total") == len(before.events) == 3 * len(sent) + 1
    finally:
        worker.kill()

    after = Aftermath.of(settings)
    assert after.executions == before.executions
    assert {execution_id: len(many) for execution_id, many in after.executions.items()} == {
        ids.execution_id(one.key, process): 1 for one, process in zip(sent, ("quick", "faulty", "faulty", "emitter"), strict=True)
    } | {ids.execution_id(ids.emitted_key(ids.execution_id(sent[3].key, "emitter"), 0), "quick"): 1}
    assert sum(map(len, after.results.values())) == 2
    assert sum(map(len, after.letters.values())) == 1
    assert usage(settings) == {"acme": len(after.events)}


@pytest.mark.timeout(120)
def test_usage_is_exact_after_kills(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    sender, worker = Sender(settings), Worker(stack, settings, tmp_path, processes="quick")
    sent: Counter[str] = Counter()
    try:
        worker.start()
        for life in range(KILLS + 1):
            for n in range(ROUND):
                tenant = ("acme", "beta", "gamma")[n % 5 % 3]
                sender.send(event("t.counted", tenant=tenant))
                sent[tenant] += 1
            sender.flush()
            if life < KILLS:
                wanted = life * ROUND + ROUND // 10
                until(partial(executed, settings, wanted), "it is in the middle of them")
                worker.kill()
                worker.start()
        worker.settle(settings)
        assert worker.asked_to_end() == 0
    finally:
        worker.kill()
    assert usage(settings) == sent
    statuses = [{one.status for one in many} for many in Aftermath.of(settings).executions.values()]
    assert statuses == [{Status.COMPLETED}] * sent.total()


def test_what_a_dead_worker_did_not_tell_the_view_is_told_by_the_next_one(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    sender, worker, keys = Sender(settings), Worker(stack, settings, tmp_path), Keys(settings.topic_prefix)
    sent = [event("t.told", b"%d" % n) for n in range(20)]
    names = [keys.execution("acme", ids.execution_id(one.key, "quick")) for one in sent]
    rebuild(settings)
    try:
        with redis.Redis.from_url(settings.redis.url.get_secret_value()) as outside:
            sender.send(*sent)
            sender.flush()
            worker.start()
            worker.settle(settings)
            until(lambda: all(outside.mget(names)), "the view has everything")
            before = outside.mget(names)
            worker.kill()
            outside.delete(*names)  # as if it had died before
            set_back(settings)
            worker.start()
            until(lambda: outside.mget(names) == before, "the view has everything again")
    finally:
        worker.kill()


def test_what_a_dead_worker_had_begun_and_nobody_goes_on_with_is_not_in_progress(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    sender, worker = Sender(settings), Worker(stack, settings, tmp_path)
    slow, other = (event("slow.now", b'{"seconds": %d, "n": 0}' % s, tenant) for tenant, s in (("acme", 4), ("beta", 0)))
    rebuild(settings)
    try:
        sender.send(slow)
        sender.flush()
        worker.start()
        until(lambda: [one.status for one in shown(settings, [slow], "slow")] == [Status.IN_PROGRESS], "it is being run")
        worker.kill()
        asyncio.run(disable(settings, "acme", "slow"))
        sender.send(other)  # its status tells that the view answers
        sender.flush()
        worker.start()
        worker.settle(settings)
        until(lambda: [one.tenant for one in shown(settings, [slow, other], "slow")] == ["beta"], "nobody runs it any more")
    finally:
        worker.kill()
    assert list(Aftermath.of(settings).executions) == [ids.execution_id(other.key, "slow")]
