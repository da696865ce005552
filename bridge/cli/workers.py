# SPDX-License-Identifier: Apache-2.0
"""
`evb workers`: the workers, and how each partition and each process does.

Reads Kafka only: what the workers said with their last heartbeat, up to ten seconds ago, and from the brokers themselves whose
each partition is, how far it is committed and where it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter

import typer

from bridge import topics
from bridge.cli.fleet import Group, Overview, Places, Row, overview
from bridge.cli.output import out, show_json, show_rows
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.domain.retry import tier
from bridge.kafka.admin import lanes as lanes_of
from bridge.kafka.admin import retry_topics
from bridge.kafka.groups import owners
from bridge.kafka.progress import Progress
from bridge.registry.session import reading
from bridge.settings import Settings

app = typer.Typer()

WORKERS = ("slot", "lane", "where", "state", "since", "heartbeat", "stalls", "processes")
PARTITIONS = ("topic", "partition", "owner", "lag", "committed age", "in flight", "oldest in flight")
WAITING = ("waiting in", "executions")
PROCESSES = ("slot", "lane", "process", "rate", "p50", "p99", "outcomes", "within")


@app.command()
def workers(data: Data = None, as_json: AsJson = False) -> None:
    """
    Show the workers, the lag and owner of each partition, what waits, and what each process does. Reads Kafka only.

    Partitions that have nothing to do share a line.
    """
    settings = operator_settings(data)
    with reading(settings) as registry:
        announced = registry.workers()
    groups = [_group(settings, lane) for lane in ("", *lanes_of(settings))]
    waiting = _places(settings, topics.mover_group(settings), _waiting(settings))
    found = overview(announced, groups, waiting, time.time())
    if as_json:
        show_json(asdict(found))
    else:
        _show(found)


def _waiting(settings: Settings) -> list[str]:
    """Name the topics of the movers: those of the tiers that there are, by their delays, and the parked."""
    tiers = sorted((one.name for one in retry_topics(settings)), key=lambda name: tier(name.rpartition(".")[2]).seconds)
    return [*tiers, topics.PARKED.name(settings)]


def _group(settings: Settings, lane: str) -> Group:
    group = topics.lane_group(settings, lane) if lane else topics.worker_group(settings)
    read = (topics.lane(lane),) if lane else topics.READ_BY_WORKERS
    return Group(owners(settings, group), _places(settings, group, [topic.name(settings) for topic in read]), lane)


def _places(settings: Settings, group: str, read: Sequence[str]) -> Places:
    asked = [(topic, partition) for topic in read for partition in range(settings.partitions)]
    progress = Progress(settings, group)
    try:
        found = progress.ask(asked)
    finally:
        progress.close()
    return {one: found.get(one) for one in asked}


def _show(found: Overview) -> None:
    none = "No worker has announced itself. Start one: `evb worker` (or `evb dev`)."
    show_rows([_worker(row) for row in found.workers], WORKERS, as_json=False, empty=none)
    out.print()
    show_rows(list(_partitions(found.partitions)), PARTITIONS, as_json=False, empty="")
    out.print()
    waiting = [{"waiting in": row["topic"], "executions": _known(row["executions"])} for row in found.waiting]
    show_rows(waiting, WAITING, as_json=False, empty="")
    out.print()
    none = "No process has finished anything within the last minute."
    show_rows([_process(row) for row in found.processes], PROCESSES, as_json=False, empty=none)


def _partitions(rows: Sequence[Row]) -> Iterator[Row]:
    """Give a row for each partition, but one for all of a topic and an owner that have nothing to do."""
    for _, of_topic in groupby(rows, key=itemgetter("topic")):
        quiet: dict[str, list[Row]] = {}
        for row in of_topic:
            if row["owner"] is not None and row["lag"] == 0 and not row["in_flight"]:
                quiet.setdefault(row["owner"], []).append(row)
            else:
                yield _partition(row)
        for rested in quiet.values():
            yield _partition(rested[0]) | {"partition": ", ".join(str(row["partition"]) for row in rested)}


def _worker(row: Row) -> Row:
    said = {"processes": _pairs(row["processes"]), "stalls": _pairs(row["stalls"])}
    return row | said | {"lane": row["lane"] or "–", "heartbeat": f"{row['heartbeat_age_s']:.0f} s ago"}


def _partition(row: Row) -> Row:
    return row | {
        "owner": row["owner"] or "nobody",
        "lag": _known(row["lag"]),
        "committed age": _known(row["committed_age_s"], " s"),
        "in flight": _known(row["in_flight"]),
        "oldest in flight": _known(row["oldest_in_flight_s"], " s"),
    }


def _process(row: Row) -> Row:
    return row | {
        "lane": row["lane"] or "–",
        "rate": f"{row['per_second']:g}/s",
        "p50": f"{row['p50_s'] * 1000:.0f} ms",
        "p99": f"{row['p99_s'] * 1000:.0f} ms",
        "outcomes": _pairs(row["outcomes"]),
        "within": f"{row['seconds']:.0f} s",
    }


def _known(value: float | None, unit: str = "") -> str:
    return "?" if value is None else f"{value:g}{unit}"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "–"
