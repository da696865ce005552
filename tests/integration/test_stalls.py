# SPDX-License-Identifier: Apache-2.0
"""
A worker that stands still is replaced, whatever it is that stands: the other partitions never stop, the stalled one resumes,
nothing is lost or skipped. Each stall is made to happen in a real worker beside a healthy one (`stalling_child`), on real Kafka.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.stack.keeper import Keeper
from tests.conftest import StackOfTests
from tests.integration.stalling import Stalling
from tests.integration.workers import PATIENCE_S, Aftermath, Sender, Worker, event, finished, settled, site, until

pytestmark = pytest.mark.timeout(180)

STALL_S = min(6.0, max(3.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
"""On a busy machine commits are late, and less would make a stall of that."""
SILENT_S = STALL_S + 0.5
"""More than a stall, and with the time since the last heartbeat (3 s) less than a session (10 s): nobody leaves the group."""
PARTITIONS = 4
EVERY_S = 0.02
LOOK_EVENTS = 20
HICCUP_S = 2.0
"""A pause of a busy machine; any restart takes longer, and so does a stall."""


class Pair:
    """Two workers that share the partitions, the second of which is supervised, and events for all of them all the time."""

    def __init__(self, stack: StackOfTests, log: Path) -> None:
        self.settings = site(stack, partitions=PARTITIONS, stall_s=STALL_S)
        self.steady = Worker(stack, self.settings, log, processes="quick")
        self.stalling = Stalling(stack, self.settings, log, "1", "quick")
        self.said: list[str] = []
        self.sent: list[Event] = []
        self._keeper = Keeper(self.stalling, self.said.append)
        self._sender = Sender(self.settings)

    def start(self) -> None:
        self.steady.spawn()
        self.stalling.start()
        self.steady.wait()
        self.settle()

    def settle(self) -> None:
        until(lambda: settled(self.settings), "everything is finished")

    def send_until(self, condition: Callable[[], object], what: str) -> None:
        """Send events to all partitions until a condition holds; the supervisor looks all the while."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited until {what}\n{self.stalling.last_words()}"
            one = event("t.sent")
            self._sender.send(one, partition=len(self.sent) % PARTITIONS)
            self.sent.append(one)
            self._keeper.look()
            time.sleep(EVERY_S)
        self._sender.flush()

    def shared(self, first: int) -> bool:
        """Say whether each worker has ended an event of its half of the partitions, of those sent from the first one on."""
        if len(self.sent) - first < 4 * PARTITIONS or len(self.sent) % LOOK_EVENTS:
            return False
        keys = {one.key for one in self.sent[first:]}
        newest = {one.event_position.partition: one.worker[-1] for one in finished(self.settings) if one.event_key in keys}
        return sorted(newest.values()) == ["0", "0", "1", "1"]

    def executions(self, sent: list[Event]) -> list[Execution]:
        """Give the final record of each event, of which there is exactly one, in the order of their ends."""
        after, keys = Aftermath.of(self.settings), {one.key for one in sent}
        mine = [many for many in after.executions.values() if many[0].event_key in keys]
        assert {many[0].event_key for many in mine} == keys, "nothing is lost or skipped"
        assert [many for many in mine if len(many) != 1] == [], "exactly one final record each"
        assert {one.status for (one,) in mine} == {Status.COMPLETED}
        assert all(after.results[one.execution_id] for (one,) in mine)
        return sorted((one for (one,) in mine), key=ended_s)


def ended_s(execution: Execution) -> float:
    """Give the time of an execution's end."""
    return (execution.finished_ms or 0) / 1000


def by_partition(executions: list[Execution]) -> dict[int, list[Execution]]:
    """Sort executions by the partition of their event."""
    found = defaultdict(list)
    for one in executions:
        found[one.event_position.partition].append(one)
    return found


def longest_pause(executions: list[Execution], since: float, to: float) -> float:
    """Give the longest time without an end between two times."""
    marks = [since, *(at for at in map(ended_s, executions) if since < at < to), to]
    return max(later - sooner for sooner, later in pairwise(marks))


@pytest.fixture(scope="module")
def pair(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both workers, for all stalls one after another."""
    both = Pair(stack, tmp_path_factory.mktemp("pair"))
    try:
        both.start()
        yield both
        assert both.steady.asked_to_end() == both.stalling.asked_to_end() == 0
    finally:
        both.steady.kill()
        both.stalling.kill()


@pytest.mark.parametrize("stall", ["head", "fetch", "loop", "rebalance", "recovery"])
def test_a_worker_that_stands_still_is_replaced(pair: Pair, stall: str) -> None:
    stalling, before, known = pair.stalling, pair.stalling.stalls(), len(pair.stalling.lines())
    first, said = len(pair.sent), len(pair.said)
    # A worker that is ready may still have a rebalance before it, which would undo what is ordered now.
    pair.send_until(lambda: pair.shared(first), "each worker has its share")
    began = time.time()
    stalling.order(stall)
    pair.send_until(lambda: len(pair.said) > said, "the supervisor notices its end")
    ended = time.time()
    pair.send_until(lambda: stalling.running and stalling.answers(), "it is back")
    back = time.time()
    pair.send_until(lambda: time.time() > back + 0.5, "more is sent")
    pair.settle()

    assert pair.said[said:] == [f"worker ended with 75; starting it again (log: {stalling.log})"]
    (last,) = (line for line in stalling.lines()[known:] if line["level"] == "critical")
    assert last["cause"] == stall
    assert float(str(last["seconds"])) < (10 if stall == "loop" else STALL_S + 2)
    assert stalling.stacks() > 1, "of all threads"
    assert stalling.loops() == {"0", "1"}, "what waits in the worker's loop, and in its consumer's"
    assert stalling.stalls() == before | {stall: before[stall] + 1}, "the next life counts it"
    found = by_partition(pair.executions(pair.sent[first:]))
    for partition, executions in found.items():
        pause = longest_pause(executions, began, back)
        if all(one.worker.endswith("/0") for one in executions):
            assert pause < HICCUP_S, "the other worker never stops"
        elif stall == "head" or (stall == "fetch" and partition != last["partition"]):
            # also where the head stands: what stands still there is what the worker may commit
            assert longest_pause(executions, began, ended) < HICCUP_S, "the worker's other partitions go on until its end"
        else:
            assert pause > min(STALL_S, ended - began), "it did stand still"
        assert ended_s(executions[-1]) > back, "it goes on"
    ends = [ended_s(one) for executions in found.values() for one in executions if one.worker.endswith("/1")]
    resumed = min(at for at in ends if at > ended)
    print(f"{stall}: ended after {ended - began:.1f} s, ready {back - ended:.1f} s later, resumed {resumed - ended:.1f} s later")


def test_while_kafka_is_silent_nobody_is_replaced(pair: Pair, stack: StackOfTests) -> None:
    first, said = len(pair.sent), len(pair.said)
    pair.send_until(lambda: len(pair.sent) > first + 4 * PARTITIONS, "all partitions have some")
    pids = pair.steady.pid, pair.stalling.pid
    began = time.time()
    stack.kafka.freeze()
    try:
        time.sleep(SILENT_S)
    finally:
        stack.kafka.thaw()
    pair.send_until(lambda: time.time() > began + SILENT_S + STALL_S, "more is sent")
    pair.settle()
    assert pair.said[said:] == []
    assert pids == (pair.steady.pid, pair.stalling.pid)
    pair.executions(pair.sent[first:])
