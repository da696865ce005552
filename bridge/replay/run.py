# SPDX-License-Identifier: Apache-2.0
"""
Plan a replay of past events, then carry it out at a rate.

A plan reads and writes nothing else. A run reads the same stretches again and decides alike; what Kafka has of an earlier run of
the plan is left out, so that a run that was killed at any moment is gone on with by planning it again under the same name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from bridge import redeliveries
from bridge.domain.moments import iso
from bridge.domain.redelivery import Redelivery
from bridge.kafka.groups import committed
from bridge.kafka.paced import Paced, Progress, Record
from bridge.kafka.scan import Scan, Stretches
from bridge.replay.asked import Asked, Mode
from bridge.replay.choosing import Chooser, Chosen, Known
from bridge.replay.histories import histories
from bridge.replay.sent import in_lanes, sent
from bridge.replay.shadow import copied, copy_of
from bridge.settings import Settings
from bridge.topics import EVENTS, HOUR_MS, REDELIVERIES, worker_group
from bridge.view.expecting import Expectation


@dataclass(slots=True)
class Plan:
    """
    What a run will do: `count` executions begun, or copies made; `skipped` counts what was left out, by why.

    `not-failed`, `processed`, `waiting`: by the mode; `not-reached`: the worker has not come to it yet; `too-old`: executions of
    that time are gone; `sent`: by an earlier run of this plan; `undecodable`, `too-many-hops`: no process ever gets it.
    """

    asked: Asked
    name: str
    stretches: Stretches
    chooser: Chooser
    count: int = 0
    oldest_ms: int = 0
    types: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)
    tenants: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def document(self, rate: float) -> dict[str, Any]:
        """Say it for people and programs; `rate` is per second."""
        return {
            "plan": self.name,
            "mode": self.asked.mode,
            "since": iso(self.asked.since_ms),
            "until": iso(self.asked.until_ms),
            "planned": self.count,
            "types": dict(self.types.most_common()),
            "processes": dict(self.processes.most_common()),
            "tenants": dict(self.tenants.most_common()),
            "oldest_at": iso(self.oldest_ms) if self.count else None,
            "estimated_s": round(self.count / rate, 1),
            "skipped": dict(self.skipped),
        }


def plan(settings: Settings, asked: Asked, expected: Expectation, name: str = "") -> Plan:
    """
    Find out what a replay will do.

    Shape:  memory for every execution of the span (`histories`) and for every redelivery since its begin (`sent`).
    Raises: BrokerUnavailable, Misconfigured, NotFound (a topic to copy to that is not there).
    """
    name = name or asked.name
    chooser = Chooser(asked, name, _known(settings, asked, name, expected))
    with Scan(settings, (EVENTS,), asked.since_ms) as scan:
        found = Plan(asked, name, scan.stretches(), chooser)
        for message in _messages(scan):
            _count(found, message)
    return found


def run(settings: Settings, plan: Plan, rate: float, progress: Progress) -> int:
    """
    Carry a plan out, and give how many are done.

    Order:  that of the partitions.
    Again:  begins the same executions; plan again to leave out what was done.
    Raises: BrokerUnavailable, Misconfigured.
    """
    with Scan(settings, (EVENTS,), within=plan.stretches) as scan, Paced(settings, rate, progress) as paced:
        for message in _messages(scan):
            for record in _records(settings, plan, message):
                paced.send(record)
        paced.finish()
    return paced.done


def _known(settings: Settings, asked: Asked, name: str, expected: Expectation) -> Known:
    # Order matters: what is committed has its records before the ends of what is read next, and a redelivery that is handled
    # between the two readings is seen in the second.
    passed = committed(settings, worker_group(settings), EVENTS)
    begun = sent(settings, asked.since_ms)
    forced = asked.mode is Mode.FORCE
    fates = {} if forced else histories(settings, asked, in_lanes(settings) | begun)
    floor_ms = 0 if forced else int(time.time() * 1000) - settings.retention_hours * HOUR_MS
    return Known(passed, fates, floor_ms, begun, copied(settings, asked.to, name) if asked.to else set(), expected)


def _messages(scan: Scan) -> Iterator[Message]:
    while not scan.done:
        yield from scan.read(500, 0.2)


def _count(plan: Plan, message: Message) -> None:
    event = plan.chooser.event(message, plan.skipped)
    if event is None:
        return
    if plan.asked.to:
        processes = [plan.asked.to] if plan.chooser.copies(message, event, plan.skipped) else []
    else:
        processes = [one.process for one in plan.chooser.executions(message, event, plan.skipped)]
    for process in processes:
        taken_ms = message.timestamp()[1]
        plan.count += 1
        plan.oldest_ms = min(plan.oldest_ms or taken_ms, taken_ms)
        plan.types[event.type] += 1
        plan.processes[process] += 1
        plan.tenants[event.tenant] += 1


def _records(settings: Settings, plan: Plan, message: Message) -> Iterator[Record]:
    unheard: Counter[str] = Counter()
    event = plan.chooser.event(message, unheard)
    if event is None:
        return
    if not plan.asked.to:
        yield from (_redelivery(settings, message, one) for one in plan.chooser.executions(message, event, unheard))
    elif plan.chooser.copies(message, event, unheard):
        yield copy_of(message, plan.asked.to, plan.name)


def _redelivery(settings: Settings, message: Message, chosen: Chosen) -> Record:
    own: Any = message.headers() or ()
    partition = message.partition() or 0
    again = Redelivery(
        process=chosen.process,
        execution_id=chosen.execution_id,
        attempt=1,
        due_ms=0,
        topic=message.topic() or "",
        partition=partition,
        offset=message.offset() or 0,
        received_ms=message.timestamp()[1],
        belated=True,
        replayed_from=chosen.replayed_from,
    )
    key: Any = message.key()
    return Record(REDELIVERIES.name(settings), partition, key, message.value() or b"", redeliveries.headers_of(own, again))
