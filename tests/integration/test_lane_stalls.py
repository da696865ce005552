# SPDX-License-Identifier: Apache-2.0
"""The worker of an own lane that stands still is replaced and counted like any other, beside a shared one in the same slot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import topics
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.kafka.groups import committed
from bridge.registry.announcing import ASKED
from bridge.registry.objects import Announcement
from bridge.registry.session import reading
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.stalling import Stalling
from tests.integration.test_stalls import STALL_S
from tests.integration.workers import Aftermath, Sender, ends, event, site, until, working

LANE, SLOT = "patient", "0"
PARTITIONS = 2

pytestmark = pytest.mark.timeout(180)


class Orders:
    """Events for the lane, in every partition."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.sent = settings, list[Event]()
        self._sender = Sender(settings)

    def send(self) -> None:
        """Send one more to each partition."""
        for partition in range(PARTITIONS):
            one = event("patient.now", b'{"n": 1}')
            self._sender.send(one, partition=partition)
            self.sent.append(one)
        self._sender.flush()

    def finished(self) -> bool:
        """Say whether the lane has come to all of them, and has committed that."""
        lane = topics.lane(LANE)
        there = ends(self.settings, lane)
        return (
            sum(there.values()) == len(self.sent)
            and committed(self.settings, topics.lane_group(self.settings, LANE), lane) == there
        )


@pytest.fixture
def orders(stack: StackOfTests) -> Orders:
    """A site of its own."""
    return Orders(site(stack, partitions=PARTITIONS, stall_s=STALL_S))


@pytest.fixture
def own(orders: Orders, stack: StackOfTests, tmp_path: Path) -> Iterator[Stalling]:
    """The lane's worker beside the shared one, both ready."""
    with working(stack, orders.settings, tmp_path, SLOT, LANE):
        worker = Stalling(stack, orders.settings, tmp_path, SLOT, LANE, LANE)
        try:
            worker.start()
            yield worker
        finally:
            worker.kill()


def announced(settings: Settings, lane: str) -> Announcement:
    """What the registry has of the slot."""
    with reading(settings) as registry:
        found = registry.last_announced(lane, SLOT)
        assert found is not None
        return found


def test_a_lanes_worker_that_stands_still_is_counted_and_goes_on(orders: Orders, own: Stalling) -> None:
    settings, counted = orders.settings, dict[str, int]()
    for stall in ("head", "fetch"):
        orders.send()
        until(orders.finished, "it has an event of each partition behind it")
        own.order(stall)

        def ended() -> bool:
            orders.send()
            return not own.running

        until(ended, "it ends, while more comes")
        assert own.ended() == 75
        (last, *_) = (line for line in reversed(own.lines()) if line["level"] == "critical")
        assert (last["cause"], last["topic"]) == (stall, topics.lane(LANE).name(settings))
        counted[stall] = 1
        left = announced(settings, LANE)
        assert (left.ended, left.stalls) == (stall, counted)
        assert not orders.finished(), "something is left for its next life"
        own.start()
        assert {reason: n for reason, n in own.stalls().items() if n} == counted, "the next life goes on counting"
        until(orders.finished, "it does what was left")
    assert own.asked_to_end() == 0
    last_said = announced(settings, LANE)
    assert (last_said.ended, last_said.stalls) == (ASKED, counted)
    assert announced(settings, "").stalls == {}, "the shared slot of that name has not stood still"
    after = Aftermath.of(settings)
    found = {many[0].event_key: [one.status for one in many] for many in after.executions.values()}
    assert found == {one.key: [Status.COMPLETED] for one in orders.sent}, "nothing is lost, and each ended once"
