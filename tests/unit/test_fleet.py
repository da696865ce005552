# SPDX-License-Identifier: Apache-2.0
"""What `evb workers` makes of two workers, of one that is dead, and of a partition that is nobody's."""

from __future__ import annotations

from bridge.cli.fleet import SILENT_S, Group, Places, overview
from bridge.cli.workers import _partitions
from bridge.kafka.progress import Place
from bridge.registry.objects import AnnouncedPartition, AnnouncedProcess, AnnouncedRate, Announcement

NOW = 1_800_000_000.0
EVENTS = "bridge.events"
LANE = "bridge.lanes.slow"
NOTHING: Places = {}


def worker(slot: str, seconds_ago: float, *partitions: AnnouncedPartition, ended: str = "", lane: str = "") -> Announcement:
    return Announcement(
        slot=slot,
        lane=lane,
        processes=(AnnouncedProcess("record", "1.0.0", ("*",)),),
        at_ms=int((NOW - seconds_ago) * 1000),
        since_ms=int((NOW - 3600) * 1000),
        instance=f"host:{slot}/{lane}/{slot}" if lane else f"host:{slot}/{slot}",
        ended=ended,
        partitions=partitions,
        rates=(AnnouncedRate("record", 60.0, {"completed": 600}, 0.004, 0.09),),
    )


def test_partitions_say_whose_they_are_and_how_they_do() -> None:
    announced = [
        worker("0", 1, AnnouncedPartition(EVENTS, 0, 3, 4.5, 12.0)),
        worker("1", SILENT_S + 1, AnnouncedPartition(EVENTS, 2, 9, 9.0, 9.0)),
    ]
    owner_of = {(EVENTS, 0): "0", (EVENTS, 1): "0", (EVENTS, 2): "1", (EVENTS, 4): "9"}
    places = {(EVENTS, n): Place(5, 5 + n) for n in range(4)} | {(EVENTS, 4): None}
    found = overview(announced, [Group(owner_of, places)], NOTHING, NOW)
    shown = [
        (row["owner"], row["lag"], row["committed_age_s"], row["in_flight"], row["oldest_in_flight_s"])
        for row in found.partitions
    ]
    assert shown == [
        ("0", 0, 12.0, 3, 4.5),
        ("0", 1, 0.0, 0, 0.0),
        ("1", 2, None, None, None),  # what a silent worker said is no longer true
        (None, 3, None, None, None),
        ("9", None, None, None, None),
    ]


def test_workers_say_what_became_of_them() -> None:
    ends = {"0": "", "1": "asked", "2": "loop"}
    announced = [*(worker(slot, 1, ended=ended) for slot, ended in ends.items()), worker("3", SILENT_S + 1)]
    found = overview(announced, [], NOTHING, NOW)
    assert [(row["slot"], row["where"], row["state"]) for row in found.workers] == [
        ("0", "host:0", "live"),
        ("1", "host:1", "stopped"),
        ("2", "host:2", "stalled"),
        ("3", "host:3", "silent"),
    ]
    assert found.workers[0]["since"] == "2027-01-15T07:00:00Z"
    (rate,) = found.processes
    assert (rate["slot"], rate["per_second"], rate["p99_s"]) == ("0", 10.0, 0.09)


def test_a_lanes_worker_is_not_taken_for_the_shared_one_in_its_slot() -> None:
    shared = Group({(EVENTS, 0): "0"}, {(EVENTS, 0): Place(0, 0)})
    lane = Group({(LANE, 0): "0", (LANE, 1): "1"}, {(LANE, n): Place(2, 9) for n in range(3)}, "slow")
    announced = [worker("0", 1), worker("1", 1), worker("0", 1, AnnouncedPartition(LANE, 0, 3, 4.5, 12.0), lane="slow")]
    found = overview(announced, [shared, lane], NOTHING, NOW)
    assert [(row["slot"], row["lane"], row["where"]) for row in found.workers] == [
        ("0", "", "host:0"),
        ("1", "", "host:1"),
        ("0", "slow", "host:0"),
    ]
    assert [(row["topic"], row["owner"], row["lag"], row["in_flight"], row["committed_age_s"]) for row in found.partitions] == [
        (EVENTS, "0", 0, 0, 0.0),
        (LANE, "0", 7, 3, 12.0),
        (LANE, "1", 7, None, None),  # the shared slot of that name says nothing of it
        (LANE, None, 7, None, None),
    ]
    assert [(row["slot"], row["lane"]) for row in found.processes] == [("0", ""), ("1", ""), ("0", "slow")]


def test_what_waits_is_counted_over_a_topics_partitions() -> None:
    places = {("bridge.retries.5s", 0): Place(1, 4), ("bridge.retries.5s", 1): Place(0, 2), ("bridge.parked", 0): None}
    found = overview([], [], places, NOW)
    assert found.waiting == [{"topic": "bridge.retries.5s", "executions": 5}, {"topic": "bridge.parked", "executions": None}]


def test_what_has_nothing_to_do_shares_a_line_with_what_is_the_same_workers() -> None:
    announced = [worker("0", 1, AnnouncedPartition(EVENTS, 4, 1, 0.5, 0.0)), worker("1", SILENT_S + 1)]
    owner_of = {(EVENTS, n): "0" if n % 2 == 0 else "1" for n in range(5)}
    places: Places = {(EVENTS, n): Place(5, 5) for n in range(5)}
    found = overview(announced, [Group(owner_of, places)], NOTHING, NOW)
    shown = [(row["partition"], row["owner"], row["in flight"], row["committed age"]) for row in _partitions(found.partitions)]
    assert shown == [(4, "0", "1", "0 s"), ("0, 2", "0", "0", "0 s"), ("1, 3", "1", "?", "?")]
