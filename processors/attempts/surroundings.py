# SPDX-License-Identifier: Apache-2.0
"""What all attempts of a worker share. Made by `processors.parts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import topics
from bridge.redis.projection import Projection
from bridge.registry.view import View
from bridge.sdk.process import AnyProcess
from bridge.settings import Settings
from processors.attempts.breakers import Breakers
from processors.attempts.contexts import Contexts
from processors.attempts.lanes import Lanes
from processors.attempts.retrying import Retries
from processors.attempts.shares import Shares
from processors.attempts.states import States
from processors.calls.calling import Caller
from processors.calls.journal import Journal
from processors.stream.outbox import Outbox
from processors.stream.room import Room
from processors.tables.record_tables import ExecutionsTable

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics that a worker reads and writes; the prefixes take the rest of a name."""

    events: str
    redeliveries: str
    surplus: str
    executions: str
    dead_letters: str
    usage: str
    notifications: str
    signals: str
    results_prefix: str
    prefix: str
    partitions: int

    @classmethod
    def of(cls, settings: Settings) -> Topics:
        """Give the names under the installation's prefix."""
        return cls(
            topics.EVENTS.name(settings),
            topics.REDELIVERIES.name(settings),
            topics.SURPLUS.name(settings),
            topics.EXECUTIONS.name(settings),
            topics.DEAD_LETTERS.name(settings),
            topics.USAGE.name(settings),
            topics.NOTIFICATIONS.name(settings),
            topics.SIGNALS.name(settings),
            f"{settings.topic_prefix}.results.",
            f"{settings.topic_prefix}.",
            settings.partitions,
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    The parts that an attempt needs; `lane` is the process whose own lane this worker serves, empty: the shared one.

    `shares` are by the topics whose events tenants share a worker's room for.
    """

    topics: Topics
    worker: str
    lane: str
    outbox: Outbox
    caller: Caller
    contexts: Contexts
    lanes: Lanes[Attempt]
    executions: ExecutionsTable
    projection: Projection
    retries: Retries
    breakers: Breakers
    registry: View
    journal: Journal
    room: Room
    shares: Mapping[str, Shares]
    states: States

    def elsewhere(self, process: AnyProcess) -> bool:
        """Say whether a process has a lane of its own, and this is not the worker of that."""
        return process.lane == "own" and self.lane != process.name
