# SPDX-License-Identifier: Apache-2.0
"""Every topic, once: name, key, clean-up, who writes and reads it. `docs/reference/topics.md` is generated from this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.domain.limits import RECORD_BYTES
from bridge.domain.retry import Tier, tier, tiers
from bridge.settings import Settings

HOUR_MS = 3_600_000
Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `retention` names the setting that bounds it (None: kept for ever), `extra_s` comes on top."""

    suffix: str
    key: str
    cleanup: Cleanup
    retention: Literal["retention_hours", "dead_letter_retention_hours"] | None
    written_by: str
    read_by: str
    extra_s: float = 0.0

    def name(self, settings: Settings) -> str:
        """The full name under the installation's prefix."""
        return f"{settings.topic_prefix}.{self.suffix}"

    def config(self, settings: Settings) -> dict[str, str]:
        """The topic's settings in Kafka's own names."""
        config = {"cleanup.policy": self.cleanup, "max.message.bytes": str(RECORD_BYTES)}
        if self.retention:
            config["retention.ms"] = str(getattr(settings, self.retention) * HOUR_MS + round(self.extra_s * 1000))
        if "compact" in self.cleanup:
            config["min.compaction.lag.ms"] = str(HOUR_MS)
            config["segment.ms"] = str(HOUR_MS)  # only closed segments are compacted, and every start reads what is not
        return config


EVENTS = Topic(
    "events",
    "<tenant>/<partitionkey or event key>",
    "delete",
    "retention_hours",
    "web, processes that emit",
    "router, rebuild",
)
EXECUTIONS = Topic(
    "executions", "execution id", "compact,delete", "retention_hours", "worker", "executions table, rebuild, consumers"
)
REDELIVERIES = Topic("redeliveries", "as its event", "delete", "retention_hours", "movers of due retries, replays", "router")
PARKED = Topic("parked", "as its event", "delete", "retention_hours", "worker, movers", "mover in every worker")
SURPLUS = Topic("surplus", "as its event", "delete", "retention_hours", "router", "router")
DEAD_LETTERS = Topic(
    "deadletters",
    "execution id, or the record's position where it cannot be decoded",
    "compact,delete",
    "dead_letter_retention_hours",
    "worker, `evb dlq`",
    "`evb dlq`, management API",
)
REGISTRY = Topic("registry", "<kind>/<tenant>/<id>/<version>", "compact", None, "decisions", "every process")
CLAIMS = Topic(
    "claims",
    "claim/<tenant>/<event key>.<digest of the transaction key>/<version>",
    "compact,delete",
    "retention_hours",
    "decisions",
    "web, rebuild",
)
BUILDABLE_RESULTS = Topic(
    "results.buildable", "event key", "delete", "retention_hours", "web: outputs of finished transactions", "consumers"
)
SIGNALS = Topic("signals", "<tenant>/<run id>", "delete", "retention_hours", "web, worker", "router")
RUNS = Topic("runs", "<tenant>/<run id>/<version>", "compact", None, "worker", "states table, rebuild")
NOTIFICATIONS = Topic("notifications", "tenant", "delete", "retention_hours", "worker", "polling feeds")
USAGE = Topic(
    "usage",
    "<partition>/<tenant>/<minute>",
    "compact,delete",
    "dead_letter_retention_hours",
    "worker",
    "usage table, `evb usage`",
)


def catalogue(settings: Settings) -> tuple[Topic, ...]:
    """Give every topic that an installation has, but for the results of its processes."""
    return (
        EVENTS,
        REDELIVERIES,
        PARKED,
        SURPLUS,
        EXECUTIONS,
        DEAD_LETTERS,
        REGISTRY,
        CLAIMS,
        BUILDABLE_RESULTS,
        NOTIFICATIONS,
        SIGNALS,
        RUNS,
        USAGE,
        *map(retries, tiers(settings.retry_tiers)),
    )


def retries(tier: Tier) -> Topic:
    """The topic in which executions wait for the delay of one tier."""
    return Topic(
        f"retries.{tier.label}", "as its event", "delete", "retention_hours", "worker", "mover in every worker", tier.seconds
    )


def tier_of(topic: str) -> Tier:
    """Give the tier whose executions wait in a topic, by its name in Kafka. Raises: ValueError where it is none of those."""
    return tier(topic.rpartition(".")[2])


def results(process: str) -> Topic:
    """The result topic of a process; made when a worker that has the process starts."""
    return Topic(f"results.{process}", "partitionkey or event key", "delete", "retention_hours", "worker", "consumers")


def lane(process: str) -> Topic:
    """The topic of a process that has its own lane; made when a worker that has the process starts."""
    return Topic(f"lanes.{process}", "as its event", "delete", "retention_hours", "router", "the lane's workers, rebuild")


def state(name: str) -> Topic:
    """What processes keep of their keys under a name; made when a worker that has one of them starts."""
    return Topic(name, "<tenant>/<partitionkey or event key>/<version>", "compact", None, "worker", "states table, rebuild")


TAKEN = frozenset(
    {
        "events",
        "executions",
        "redeliveries",
        "parked",
        "surplus",
        "deadletters",
        "registry",
        "claims",
        "usage",
        "results",
        "retries",
        "lanes",
        "runs",
        "signals",
        "notifications",
    }
)
"""What a state cannot be called: first parts of the names of other topics, some of which are still to come."""


READ_BY_WORKERS = (EVENTS, REDELIVERIES, SURPLUS, SIGNALS)
"""What the workers of the shared lane read, what is new first; those of an own lane read its topic only."""


def lane_group(settings: Settings, process: str) -> str:
    """The consumer group of one lane's workers."""
    return f"{settings.topic_prefix}.lane.{process}"


def mover_group(settings: Settings) -> str:
    """The consumer group of all movers: its committed offsets say which waiting executions have been given back."""
    return f"{settings.topic_prefix}.mover"


def worker_group(settings: Settings) -> str:
    """The consumer group of the shared lane's workers: its committed offsets say what the router has finished."""
    return f"{settings.topic_prefix}.worker"
