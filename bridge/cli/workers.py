# SPDX-License-Identifier: Apache-2.0
"""
`evb workers`: the workers, and how each partition and each process does.

Reads Kafka only: what the workers said with their last heartbeat, up to ten seconds ago, and from the brokers themselves whose
each partition is, how far it is committed and where it ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import typer

from bridge import topics
from bridge.cli.fleet import Row, overview
from bridge.cli.output import out, show_json, show_rows
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.kafka.groups import owners
from bridge.kafka.progress import Partition, Place, Progress
from bridge.registry.session import reading
from bridge.settings import Settings

app = typer.Typer()

WORKERS = ("slot", "where", "state", "since", "heartbeat", "stalls", "processes")
PARTITIONS = ("topic", "partition", "owner", "lag", "committed age", "in flight", "oldest in flight")
PROCESSES = ("slot", "process", "rate", "p50", "p99", "outcomes", "within")


@app.command()
def workers(data: Data = None, as_json: AsJson = False) -> None:
    """Show the workers, the lag and owner of each partition, and what each process does. Reads Kafka only."""
    settings = operator_settings(data)
    with reading(settings) as registry:
        announced = {one.slot: one for one in registry.announced()}
    group = topics.worker_group(settings)
    found = overview(announced, owners(settings, group), _places(settings, group), time.time())
    if as_json:
        show_json({"workers": found.workers, "partitions": found.partitions, "processes": found.processes})
        return
    none = "No worker has announced itself. Start one: `evb worker` (or `evb dev`)."
    show_rows([_worker(row) for row in found.workers], WORKERS, as_json=False, empty=none)
    out.print()
    show_rows([_partition(row) for row in found.partitions], PARTITIONS, as_json=False, empty="")
    out.print()
    none = "No process has finished anything within the last minute."
    show_rows([_process(row) for row in found.processes], PROCESSES, as_json=False, empty=none)


def _places(settings: Settings, group: str) -> Mapping[Partition, Place | None]:
    read = (topics.EVENTS.name(settings), topics.REDELIVERIES.name(settings))
    asked = [(topic, partition) for topic in read for partition in range(settings.partitions)]
    progress = Progress(settings, group)
    try:
        found = progress.ask(asked)
    finally:
        progress.close()
    return {one: found.get(one) for one in asked}


def _worker(row: Row) -> Row:
    said = {"processes": _pairs(row["processes"]), "stalls": _pairs(row["stalls"])}
    return row | said | {"heartbeat": f"{row['heartbeat_age_s']:.0f} s ago"}


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
