# SPDX-License-Identifier: Apache-2.0
"""When the mover gives waiting executions back: due ones in time, parked ones when nothing holds them, and never in circles."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from processors.background import moving
from processors.background.mover import Step

TP = TopicPartition("bridge.parked", 0)
TIER = TopicPartition("bridge.retries.5s", 0)


def record(offset: int, process: str = "crm", tenant: str = "acme", due: int = 0) -> Any:
    headers = [("ce_tenantid", tenant.encode()), ("rd_process", process.encode()), ("rd_due", b"%d" % due)]
    return SimpleNamespace(offset=offset, headers=headers)


class Paused:
    """A registry in which pairs of tenant and process are paused."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = set(pairs)

    def pauses(self) -> tuple[object, ...]:
        return tuple(sorted(self.pairs))

    def paused(self, tenant: str, process: str) -> object | None:
        return (tenant, process) if (tenant, process) in self.pairs else None


def test_a_tier_gives_its_head_back_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000
    monkeypatch.setattr(moving, "now_ms", lambda: now)
    rule = moving.Due()
    assert rule.step(TIER, record(0, due=1000), 9) is Step.GIVE
    assert rule.step(TIER, record(1, due=1001), 9) is Step.HOLD
    assert not rule.ready(TIER)
    now = 1001
    assert rule.ready(TIER)
    assert rule.step(TIER, record(1, due=1001), 9) is Step.GIVE


def test_a_wrong_clock_holds_a_tier_for_its_delay_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now, day = 0.0, 24 * 3_600_000
    monkeypatch.setattr(moving, "now_ms", lambda: 0)
    monkeypatch.setattr(moving.time, "monotonic", lambda: now)
    rule = moving.Due()
    assert rule.step(TIER, record(0, due=day), 2) is Step.HOLD
    now = 5.4
    assert not rule.ready(TIER)
    now = 5.6
    assert rule.ready(TIER)
    assert [rule.step(TIER, record(n, due=day), 4) for n in (0, 1)] == [Step.GIVE] * 2, "both were there all the time"
    assert rule.step(TIER, record(2, due=day), 4) is Step.HOLD, "this one may have come just now"
    now = 11.2
    assert rule.step(TIER, record(2, due=day), 4) is Step.GIVE


def test_how_late_a_tier_is_says_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "now_ms", lambda: 5000)
    rule = moving.Due()
    assert [rule.late(record(0, due=due)) for due in (2000, 6000, 0)] == [3.0, 0.0, 0.0], "0: it does not say"
    assert moving.Parked(Paused()).late(record(0, due=2000)) == 0


def test_what_is_still_paused_goes_to_the_end_once() -> None:
    registry = Paused(("acme", "crm"))
    rule = moving.Parked(registry)
    steps = [rule.step(TP, record(0), 3), rule.step(TP, record(1, "shop"), 3), rule.step(TP, record(2), 3)]
    assert steps == [Step.KEEP, Step.GIVE, Step.KEEP]
    assert rule.step(TP, record(3), 5) is Step.HOLD, "it went round once"
    assert not rule.ready(TP)
    registry.pairs.clear()
    assert rule.ready(TP)
    assert rule.step(TP, record(3), 5) is Step.GIVE


def test_a_change_begins_a_cycle_and_one_more_follows_for_who_heard_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(moving.time, "monotonic", lambda: now)
    registry = Paused(("acme", "crm"))
    rule = moving.Parked(registry)
    assert rule.step(TP, record(0), 1) is Step.KEEP
    assert rule.step(TP, record(1), 2) is Step.HOLD
    now = moving.SPREAD_S - 0.1
    assert not rule.ready(TP)
    now = moving.SPREAD_S
    assert rule.ready(TP), "the second look"
    assert rule.step(TP, record(1), 2) is Step.KEEP
    assert rule.step(TP, record(2), 3) is Step.HOLD
    now = 1000.0
    assert not rule.ready(TP), "and no third one"
    registry.pairs.add(("acme", "shop"))
    assert rule.ready(TP)
