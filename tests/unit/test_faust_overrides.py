# SPDX-License-Identifier: Apache-2.0
"""Every internal of Faust that the worker overrides still exists, with the same parameters (docs/explanation/faust.md)."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from functools import partial
from typing import Any

import faust
import faust.streams
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState

from processors.stream.app import WorkerApp
from processors.stream.batches import BatchConsumer, BatchScheduler, BatchSchema, queue_size
from processors.stream.consumer_thread import BatchThread
from processors.tables.record_tables import ExecutionsTable, RecordTable, UsageTable
from processors.tables.recovery import TimedRecovery, TimedTables

OVERRIDDEN: dict[type[Any], set[str]] = {
    BatchSchema: {"loads_key", "loads_value"},
    BatchScheduler: {"iterate"},
    BatchThread: {"_fetch_records", "call_thread", "on_start", "on_thread_stop", "verify_event_path", "_commit"},
    BatchConsumer: {
        "_new_consumer_thread",
        "_filter_committable_offsets",
        "force_commit",
        "_commit_offsets",
        "on_buffer_drop",
        "perform_seek",
        "wait_empty",
        "on_partitions_revoked",
        "on_partitions_assigned",
    },
    WorkerApp: {"FlowControlQueue", "_create_directories"},
    TimedRecovery: {"_build_offsets", "_seek_offsets", "on_recovery_completed"},
    TimedTables: {"on_start", "recovery"},
    RecordTable: {"on_key_set", "on_key_del", "apply_changelog_batch"},
    ExecutionsTable: {"on_rebalance"},
    UsageTable: {"on_rebalance"},
}


def _of_faust(cls: type[Any], name: str) -> Any:
    """Find what a class of Faust's, not of ours, has under a name."""
    for base in cls.__mro__[1:]:
        if name in base.__dict__ and not base.__module__.startswith("processors"):
            return base.__dict__[name]
    return None


@pytest.mark.parametrize("cls", OVERRIDDEN, ids=lambda cls: cls.__name__)
def test_what_we_override_is_what_we_mean_to(cls: type[Any]) -> None:
    ours = {name for name, value in cls.__dict__.items() if callable(value) or hasattr(value, "__get__")}
    named = {name for name in ours if not name.startswith("__") and callable(_of_faust(cls, name))}
    named |= {name for name in ours & {"recovery"} if _of_faust(cls, name) is not None}
    assert {n for n in named if inspect.isfunction(cls.__dict__[n]) or n == "recovery"} == OVERRIDDEN[cls]


@pytest.mark.parametrize(
    ("cls", "name"), [(c, n) for c, names in OVERRIDDEN.items() for n in sorted(names - {"recovery"})], ids=str
)
def test_the_parameters_are_still_the_same(cls: type[Any], name: str) -> None:
    theirs, ours = (inspect.signature(f).parameters for f in (_of_faust(cls, name), cls.__dict__[name]))
    takes_any = any(p.kind is p.VAR_KEYWORD for p in ours.values())
    positional = [p.name for p in theirs.values() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert [n.lstrip("_") for n in ours][: len(positional)] == [n.lstrip("_") for n in positional]
    assert takes_any or len(ours) == len(theirs)
    assert inspect.iscoroutinefunction(cls.__dict__[name]) == inspect.iscoroutinefunction(_of_faust(cls, name))


def test_streams_are_the_compiled_ones() -> None:
    """The pure Python iterator acknowledges stale records; the compiled one does not."""
    assert faust.streams._CStreamIterator is not None


def test_each_fetch_asks_anew_how_long_it_may_be_held_open() -> None:
    """The worker and the mover change it while they run, and the worker how long what was fetched keeps the next one back."""
    assert "self._fetch_max_wait_ms" in inspect.getsource(Fetcher._get_actions_per_node)
    assert "backoff=self._prefetch_backoff" in inspect.getsource(Fetcher._proc_fetch_request)


async def test_the_mover_can_say_how_far_it_has_read() -> None:
    one, subscriptions = TopicPartition("bridge.parked", 0), SubscriptionState()
    subscriptions.subscribe({one.topic})
    subscriptions.assign_from_subscribed([one])
    state = subscriptions._assigned_state(one)
    assert not state.has_valid_position
    state.seek(7)
    assert (state.has_valid_position, state.position) == (True, 7)


@pytest.mark.parametrize("partitions", [1, 4, 16, 64])
async def test_a_queue_that_nobody_reads_is_never_full(partitions: int) -> None:
    """Or all agents would wait for this one: a partition may bring one more batch after the pressure has begun."""
    app = WorkerApp("queues", broker="kafka://127.0.0.1:1", store="memory://")
    queue, fetched = app.FlowControlQueue(maxsize=queue_size(partitions)), dict.fromkeys(range(partitions), True)
    callbacks = {p: (partial(fetched.__setitem__, p, False), partial(fetched.__setitem__, p, True)) for p in fetched}
    for _ in range(10 * partitions):
        for p in [p for p, on in fetched.items() if on]:
            assert not queue.full()
            queue.put_nowait_enhanced(p, on_pressure_high=callbacks[p][0], on_pressure_drop=callbacks[p][1])
    assert not any(fetched.values())
    while not queue.empty():
        queue.get_nowait()
    with suppress(asyncio.QueueEmpty):
        queue.get_nowait()
    assert all(fetched.values()), "they are fetched again"


def test_what_the_watchdog_reads_is_still_there() -> None:
    """A name that vanished would read as a worker that is never ready, or as a recovery that never moves."""
    app = faust.App("watched", broker="kafka://127.0.0.1:1", store="memory://")
    assert (app.rebalancing, app.rebalancing_count) == (False, 0)
    assert (app.tables.actives_ready, app.tables.changelog_topics) == (False, set())
    recovery = TimedRecovery(app, app.tables)
    assert (recovery.in_recovery, dict(recovery.active_offsets)) == (False, {})
