# SPDX-License-Identifier: Apache-2.0
"""What `evb workers` shows, put together from the workers' last heartbeats and from what Kafka itself says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.kafka.progress import Partition, Place
from bridge.registry.announcing import ASKED, HEARTBEAT_S
from bridge.registry.objects import Announcement

SILENT_S = 3 * HEARTBEAT_S
Row = dict[str, Any]
Places = Mapping[Partition, Place | None]
"""How far a group is in each partition; None: its leader says nothing."""


@dataclass(frozen=True, slots=True)
class Group:
    """What Kafka says of the consumer group of a lane's workers: whose each partition is and how far it has come."""

    owner_of: Mapping[Partition, str]
    places: Places
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What is shown: rows of the four tables, their members named as in the JSON. None: nobody knows; lane "": the shared one."""

    workers: list[Row]
    partitions: list[Row]
    waiting: list[Row]
    processes: list[Row]


def overview(announced: Sequence[Announcement], groups: Sequence[Group], waiting: Places, now: float) -> Overview:
    """
    Put together what the workers said and what Kafka says; `now` as `time.time()`.

    Shape: `waiting` is how far the movers are in what waits.
    """
    live = {(one.lane, one.slot): one for one in announced if state_of(one, now) == "live"}
    return Overview(
        [_worker(one, now) for one in announced],
        [row for group in groups for row in _partitions(group, live)],
        list(_waiting(waiting)),
        [row for one in live.values() for row in _processes(one)],
    )


def slot_of(one: Announcement) -> str:
    """Name a worker for people."""
    return f"slot {one.slot}" + (f" of lane {one.lane}" if one.lane else "")


def _waiting(places: Places) -> Iterator[Row]:
    """Count the executions that wait in each topic of the movers."""
    for topic in dict.fromkeys(topic for topic, _ in places):
        lags = [place.lag if place else None for (of, _), place in places.items() if of == topic]
        yield {"topic": topic, "executions": None if None in lags else sum(lag or 0 for lag in lags)}


def state_of(one: Announcement, now: float) -> str:
    """Say `live`, `stopped` (it was asked to), `stalled` (it ended itself) or `silent` (nobody knows what became of it)."""
    if one.ended:
        return "stopped" if one.ended == ASKED else "stalled"
    return "live" if now - one.at_ms / 1000 < SILENT_S else "silent"


def _worker(one: Announcement, now: float) -> Row:
    return {
        "slot": one.slot,
        "lane": one.lane,
        "where": one.instance.partition("/")[0],
        "state": state_of(one, now),
        "since": datetime.fromtimestamp(one.since_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "heartbeat_age_s": round(now - one.at_ms / 1000, 1),
        "processes": {process.name: process.version for process in one.processes},
        "stalls": one.stalls,
    }


def _partitions(group: Group, live: Mapping[tuple[str, str], Announcement]) -> Iterator[Row]:
    for at, place in group.places.items():
        owner = group.owner_of.get(at)
        said = live.get((group.lane, owner)) if owner else None
        yield _partition(at, place, owner, said)


def _partition(at: Partition, place: Place | None, owner: str | None, said: Announcement | None) -> Row:
    row: Row = {"topic": at[0], "partition": at[1], "owner": owner, "lag": place.lag if place else None}
    if said is None:
        return row | {"committed_age_s": None, "in_flight": None, "oldest_in_flight_s": None}
    held = next((one for one in said.partitions if (one.topic, one.partition) == at), None)
    return row | {
        "committed_age_s": held.committed_age_s if held else 0.0,
        "in_flight": held.in_flight if held else 0,
        "oldest_in_flight_s": held.oldest_s if held else 0.0,
    }


def _processes(one: Announcement) -> Iterator[Row]:
    for rate in one.rates:
        yield {
            "slot": one.slot,
            "lane": one.lane,
            "process": rate.process,
            "seconds": rate.seconds,
            "per_second": round(sum(rate.outcomes.values()) / max(rate.seconds, 0.1), 2),
            "p50_s": rate.p50_s,
            "p99_s": rate.p99_s,
            "outcomes": rate.outcomes,
        }
