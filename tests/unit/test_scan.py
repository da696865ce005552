# SPDX-License-Identifier: Apache-2.0
"""Where a reading begins: a partition whose leader does not answer just then is asked about again, never passed over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from bridge.domain.errors import BrokerUnavailable
from bridge.kafka import scan
from bridge.kafka.groups import committed
from bridge.settings import load
from bridge.topics import EVENTS

SETTINGS = load({"EVB_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "EVB_PARTITIONS": "2"})


def answer(partition: int, offset: int, code: int = 0) -> Any:
    error = KafkaError(code) if code else None
    return SimpleNamespace(topic=EVENTS.name(SETTINGS), partition=partition, offset=offset, error=error)


class Leaders:
    """A consumer whose questions are answered one after another as given, the last one for ever."""

    answers: list[list[Any]]
    assigned: list[tuple[int, int]]

    def __init__(self, _: object) -> None:
        pass

    def offsets_for_times(self, _: object, timeout: float) -> list[Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    committed = offsets_for_times

    def get_watermark_offsets(self, _where: TopicPartition, _timeout: float, *, cached: bool) -> tuple[int, int]:
        return 0, 9

    def assign(self, where: list[TopicPartition]) -> None:
        type(self).assigned = [(one.partition, one.offset) for one in where]

    def poll(self, _: float) -> None:
        pass

    def close(self) -> None:
        pass


LATE = [answer(0, 3), answer(1, -1, KafkaError.NOT_LEADER_FOR_PARTITION)]
WHOLE = [answer(0, 3), answer(1, 4)]


def test_a_leader_that_moves_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "Consumer", Leaders)
    monkeypatch.setattr(Leaders, "answers", [LATE, WHOLE], raising=False)
    made = scan.Scan(SETTINGS, (EVENTS,), since_ms=1)
    assert made.total == 11
    assert Leaders.assigned == [(0, 3), (1, 4)]


def test_a_leader_that_stays_away_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "Consumer", Leaders)
    monkeypatch.setattr(scan, "ASK_S", 0.3)
    monkeypatch.setattr(Leaders, "answers", [LATE], raising=False)
    with pytest.raises(BrokerUnavailable, match="did not say where the topics end"):
        scan.Scan(SETTINGS, (EVENTS,), since_ms=1)


def test_what_a_group_has_committed_is_asked_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.kafka.groups.Consumer", Leaders)
    monkeypatch.setattr(Leaders, "answers", [LATE, WHOLE], raising=False)
    assert committed(SETTINGS, "a group", EVENTS) == {0: 3, 1: 4}
