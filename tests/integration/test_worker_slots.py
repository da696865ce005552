# SPDX-License-Identifier: Apache-2.0
"""Several workers: two in one slot are told so, and partitions change hands without losing or repeating an event."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.test_worker_repeats import usage
from tests.integration.workers import Aftermath, Sender, Worker, event, finished, forget_member, settled, site, until

EVERY_S = 0.01


class Load:
    """Sends events all the time, to every partition in turn, until it is ended."""

    def __init__(self, settings: Settings) -> None:
        self.sent: list[Event] = []
        self._sender, self._partitions = Sender(settings), settings.partitions
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._ended.wait(EVERY_S):
            one = event("t.flowing", b"%d" % len(self.sent))
            self._sender.send(one, partition=len(self.sent) % self._partitions)
            self.sent.append(one)
        self._sender.flush()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()


def busy(settings: Settings, slot: str, since_ms: int) -> set[int]:
    """Give the partitions in which the worker of this slot finished something that arrived after a moment."""
    return {
        one.event_position.partition
        for one in finished(settings)
        if one.worker.endswith(f"/{slot}") and one.received_ms > since_ms
    }


def latest_ms(settings: Settings) -> int:
    """Give the time of the newest event that was finished."""
    return max(one.received_ms for one in finished(settings))


def assert_whole(settings: Settings, sent: list[Event], repeats: bool) -> None:
    """Every event completed once; where nothing was killed, without any repetition."""
    after = Aftermath.of(settings)
    assert after.executions.keys() == {ids.execution_id(one.key, "quick") for one in sent}
    for one in sent:
        execution_id = ids.execution_id(one.key, "quick")
        executions, results = after.executions[execution_id], after.results[execution_id]
        assert {each.status for each in executions} == {Status.COMPLETED}
        assert {(each.value(), each.partition()) for each in results} == {(one.data, executions[0].event_position.partition)}
        assert repeats or (len(executions), len(results)) == (1, 1)


@pytest.mark.timeout(120)
def test_partitions_change_hands_while_events_flow(stack: StackOfTests, tmp_path: Path) -> None:
    settings, everyone = site(stack), set(range(4))
    load = Load(settings)
    first, second = (Worker(stack, settings, tmp_path, slot, "quick") for slot in ("first", "second"))
    try:
        first.start()
        with load.flowing():
            until(lambda: busy(settings, "first", 0) == everyone, "the first worker has all partitions")
            second.start()
            joined = latest_ms(settings)
            until(lambda: len(busy(settings, "second", joined)) == 2, "the second worker has its share")
            assert second.asked_to_end() == 0
            forget_member(settings, "second")
            left = latest_ms(settings)
            until(lambda: busy(settings, "first", left) == everyone, "the first worker has all partitions again")
        until(lambda: settled(settings), "everything is finished")
        assert_whole(settings, load.sent, repeats=False)
        assert usage(settings) == {"acme": len(load.sent)}, "counts are taken over, and go on where nobody took them over"

        second.start()
        again = Load(settings)
        with again.flowing():
            until(lambda: len(busy(settings, "second", left)) >= 2, "the second worker has its share again")
            second.kill()
            killed = latest_ms(settings)
            until(lambda: busy(settings, "first", killed) == everyone, "the first worker takes over when the session ends")
        until(lambda: settled(settings), "everything is finished")
        assert_whole(settings, load.sent + again.sent, repeats=True)
        assert first.asked_to_end() == 0
    finally:
        first.kill()
        second.kill()


def test_two_workers_in_one_slot_are_told_so(stack: StackOfTests, tmp_path: Path) -> None:
    settings, sent = site(stack), event("t.once")
    one, other = (Worker(stack, settings, tmp_path, "7", "quick") for _ in range(2))
    try:
        one.start()
        other.spawn()
        until(lambda: one.exit_code is not None or other.exit_code is not None, "one of them gives way")
        gone, there = (one, other) if one.exit_code is not None else (other, one)
        assert gone.ended() == 70
        (last,) = (line for line in gone.lines() if line["level"] == "critical")
        said = "the worker slot '7' is taken: another worker runs with it. Give every worker its own EVB_WORKER_SLOT"
        assert last["reason"] == said
        assert last["slot"] == "7"
        there.wait()
        sender = Sender(settings)
        sender.send(sent)
        sender.flush()
        there.settle(settings)
        assert there.asked_to_end() == 0
    finally:
        one.kill()
        other.kill()
    assert_whole(settings, [sent], repeats=False)
