# SPDX-License-Identifier: Apache-2.0
"""What is overdue among what waits: no head that has to wait, nothing that Kafka has deleted, nothing that has its turn later."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from bridge import metrics
from bridge.kafka.progress import Place
from processors.watch.overdue import Overdue

TIER, PARKED = TopicPartition("evb.retries.5s", 0), TopicPartition("evb.parked", 0)
PATIENCE_S = 4.0
BEHIND = Place(3, 9)


class Stalled(Exception):
    """Instead of the end of the process."""


class Moving:
    """A mover that works and has read nothing, and who looks at it; `looks` is a look a second at the same places."""

    def __init__(self) -> None:
        self.rounds = self.calm = self.joins = 0
        self.topics = [TIER.topic, PARKED.topic]
        self.held: set[TopicPartition] = set()
        self.late: dict[TopicPartition, float] = {}
        self.read: dict[TopicPartition, int] = {}
        self.each = 5, 5
        self.counts = True
        self.now = 0.0
        words: Any = SimpleNamespace(say=self._say)
        progress: Any = None
        self.overdue = Overdue(self, progress, words, PATIENCE_S)
        self.overdue._still._looked = 0.0

    def assignment(self) -> set[TopicPartition]:
        return {TIER, PARKED}

    def passed(self, tp: TopicPartition) -> int:
        return self.read.get(tp, 0)

    def _say(self, reason: str, **where: Any) -> Any:
        raise Stalled(reason, where.get("topic"))

    def looks(self, seconds: int, places: dict[TopicPartition, Place] | None = None) -> None:
        for _ in range(seconds):
            self.now += 1
            self.rounds += self.each[0]
            self.calm += self.each[1]
            self.overdue.judge(self.now, {(tp.topic, tp.partition): place for tp, place in (places or {}).items()}, self.counts)
            self.overdue.show(self.now)

    def ends(self, places: dict[TopicPartition, Place] | None = None, within: int = 6) -> tuple[str, str | None]:
        with pytest.raises(Stalled) as caught:
            self.looks(within, places)
        reason, where = caught.value.args
        return reason, where


def shown(topic: str = TIER.topic) -> float | None:
    return metrics.REGISTRY.get_sample_value("evb_overdue_seconds", {"topic": topic})


def test_a_mover_that_ends_no_round_is_a_stall() -> None:
    moving = Moving()
    moving.looks(100)
    moving.each = 0, 0
    moving.looks(70)
    assert moving.ends(within=10) == ("mover", None)
    assert moving.now > 100 + PATIENCE_S + 30, "the brokers may take that long to end a join"


@pytest.mark.parametrize("tp", [TIER, PARKED])
def test_a_partition_of_which_nothing_is_read_is_overdue(tp: TopicPartition) -> None:
    moving = Moving()
    moving.looks(3, {tp: Place(9, 9)})
    assert moving.ends({tp: BEHIND}) == ("overdue", tp.topic)
    assert moving.now > 3 + PATIENCE_S


@pytest.mark.parametrize("tp", [TIER, PARKED])
def test_a_head_may_wait_for_ever_and_is_overdue_when_it_is_not_read_after_that(tp: TopicPartition) -> None:
    moving = Moving()
    moving.held.add(tp)
    moving.looks(100, {tp: BEHIND})
    moving.held.clear()
    assert moving.ends({tp: BEHIND}) == ("overdue", tp.topic)
    assert moving.now > 100 + PATIENCE_S


def test_what_is_no_record_or_was_deleted_is_no_stall() -> None:
    moving = Moving()
    moving.read[TIER] = 9
    moving.looks(100, {TIER: BEHIND, PARKED: Place(3, 9, first=9)})
    moving.read.clear()
    assert moving.ends({TIER: BEHIND}) == ("overdue", TIER.topic)


def test_a_commit_is_progress_and_so_is_an_assignment() -> None:
    moving = Moving()
    for committed in range(10):
        moving.looks(3, {TIER: Place(committed, 99)})
    for _ in range(10):
        moving.joins += 1
        moving.looks(3, {TIER: BEHIND})


@pytest.mark.parametrize("each", [(0, 0), (5, 0)], ids=["its round waits for a confirmation", "others' records fill its rounds"])
def test_a_partition_that_had_no_turn_has_patience(each: tuple[int, int]) -> None:
    moving = Moving()
    moving.each = each
    moving.looks(30, {TIER: BEHIND})
    moving.each = 5, 5
    assert moving.ends({TIER: BEHIND}) == ("overdue", TIER.topic)


def test_time_that_does_not_count_is_no_stall() -> None:
    moving = Moving()
    moving.counts = False
    moving.looks(100, {TIER: BEHIND})
    for _ in range(10):
        moving.counts = True
        moving.looks(3, {TIER: BEHIND})
        moving.now += 6  # Kafka, or we, were away


def test_how_late_it_is_is_shown() -> None:
    moving = Moving()
    moving.looks(2, {TIER: Place(9, 9)})
    assert shown() == shown(PARKED.topic) == 0
    moving.looks(3, {TIER: BEHIND})
    assert (shown(), shown(PARKED.topic)) == (2, 0), "no head was seen: since its lag was"
    moving.late[TIER] = 600.0
    moving.looks(3, {TIER: Place(5, 9)})
    assert shown() == 602, "the one before it was late already"
    moving.held.add(TIER)
    moving.looks(1, {TIER: Place(6, 9)})
    assert shown() == 0
    moving.held.clear()
    moving.looks(2, {TIER: Place(6, 9)})
    assert shown() == 1, "the next one was waited with"
