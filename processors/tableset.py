# SPDX-License-Identifier: Apache-2.0
"""The tables of one worker: made and added to its app. Called by `processors.parts`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from bridge import topics
from bridge.settings import Settings
from processors.attempts.states import StateTable
from processors.stream.app import WorkerApp
from processors.stream.batches import batch_topic
from processors.tables.record_tables import ExecutionsTable, UsageTable

OPTIONS: Final[dict[str, Any]] = {"key_type": bytes, "value_type": bytes, "recovery_buffer_size": 4}


class TableSet(NamedTuple):
    """What a worker remembers: executions, usage, and each state by its name."""

    executions: ExecutionsTable
    usage: UsageTable
    states: dict[str, StateTable]


def make_tables(app: WorkerApp, settings: Settings, source: str, states: Iterable[str], lanes: Collection[str]) -> TableSet:
    """
    Make the tables of a worker that reads `source`, with those of its processes' `states`; `lanes` are those with a lane.

    Usage is counted where the events themselves are read, and a process that has a state runs there only: a lane's worker leaves
    its usage empty, and has no states.
    """
    partitions, lane = settings.partitions, settings.worker_lane

    def described(name: str, topic: topics.Topic) -> dict[str, Any]:
        changelog = batch_topic(app, topic.name(settings), partitions)
        return OPTIONS | {"name": name, "partitions": partitions, "changelog_topic": changelog}

    def runs(process: str) -> bool:
        return process == lane if lane else process not in lanes

    executions = ExecutionsTable(app, source=source, runs=runs, **described("executions", topics.EXECUTIONS))
    usage = UsageTable(app, source=source, **described("usage", topics.USAGE))
    kept = {name: StateTable(app, **described(f"state-{name}", topics.state(name))) for name in (() if lane else states)}
    for table in (executions, *(() if lane else (usage,)), *kept.values()):
        app.tables.add(table)
    return TableSet(executions, usage, kept)
