# SPDX-License-Identifier: Apache-2.0
"""
Every metric, once: its name, what it counts and its labels. `docs/reference/metrics.md` is compared with this file.

Labels are bounded (dialect, status code, process, outcome, reason), never a tenant or an id. With several server processes
`PROMETHEUS_MULTIPROC_DIR` is set before this module is imported (`web.server`).
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` beside every counter tells nobody anything

REGISTRY = CollectorRegistry()
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram(prometheus_client.Histogram):
    """The client library's, and a quicker way to observe many amounts."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Do what `observe` does for each amount, with one lock for each bucket that is met instead of two for each amount."""
        met: dict[int, int] = {}
        for amount in amounts:
            bucket = bisect_left(self._upper_bounds, amount)
            met[bucket] = met.get(bucket, 0) + 1
        self._sum.inc(sum(amounts))
        for bucket, times in met.items():
            self._buckets[bucket].inc(times)


INGRESS_REQUESTS = Counter(
    "evb_ingress_requests_total",
    "Requests that the web server answered, by dialect and HTTP status; 499: the client left before.",
    ["dialect", "code"],
    registry=REGISTRY,
)
INGRESS_DURATION = Histogram(
    "evb_ingress_request_duration_seconds",
    "Time from a request's header to its answer, by dialect.",
    ["dialect"],
    buckets=SECONDS,
    registry=REGISTRY,
)
INGRESS_IN_PROGRESS = Gauge(
    "evb_ingress_requests_in_progress",
    "Requests that are being read or answered now.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
EVENTS_ACCEPTED = Counter(
    "evb_events_accepted_total", "Events that Kafka confirmed; repetitions are not counted.", registry=REGISTRY
)
EVENTS_DUPLICATE = Counter(
    "evb_events_duplicate_total", "Repetitions of an event that were given the first one's receipt.", registry=REGISTRY
)
LIMITER_DEGRADED = Gauge(
    "evb_limiter_degraded",
    "1 while Redis cannot be asked and each web process limits on its own, else 0.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
WORKERS_DIFFERING = Gauge(
    "evb_workers_differing",
    "Live workers that announce other plugins or versions than the others of their lane, or a lane's than the shared lane's.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
LOOP_LAG = Gauge(
    "evb_loop_lag_seconds",
    "How late the event loop was in its last look at the clock: anything above 0.05 means that something blocks it.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
LOG_LINES_DROPPED = Counter(
    "evb_access_log_dropped_total", "Access log lines given up because stdout took no more.", registry=REGISTRY
)
EXECUTIONS = Counter(
    "evb_executions_total",
    "Attempts, by process and outcome: completed, skipped, awaits, retried, or a last failure's code where it is ours.",
    ["process", "outcome"],
    registry=REGISTRY,
)
EXECUTION_DURATION = Histogram(
    "evb_execution_duration_seconds",
    "Time from the beginning of a process's run to its outcome, by process.",
    ["process"],
    buckets=SECONDS,
    registry=REGISTRY,
)
END_TO_END = Histogram(
    "evb_event_end_to_end_seconds",
    "Time from an event's record in Kafka to the confirmed record of its execution.",
    buckets=(*SECONDS, 10.0, 60.0, 600.0, 3600.0),
    registry=REGISTRY,
)
EXECUTIONS_REPEATED = Counter(
    "evb_executions_repeated_total",
    "Executions that were not run again because they run, or ended within the last hour.",
    registry=REGISTRY,
)
REDELIVERED = Counter(
    "evb_redelivered_total", "Waiting executions that were due and were given back to the workers.", registry=REGISTRY
)
OVERDUE = Gauge(
    "evb_overdue_seconds",
    "How late this worker is in giving back what waits in a topic: time since the oldest was due; 0 where none is late.",
    ["topic"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
BREAKERS_OPEN = Gauge(
    "evb_process_breakers_open",
    "Processes, counted per tenant, that failed everything and rest.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
DEAD_LETTERS = Counter("evb_dead_letters_total", "Dead letters that Kafka confirmed, by reason.", ["reason"], registry=REGISTRY)
EVENTS_LOST = Counter(
    "evb_events_expired_total",
    "Events that Kafka deleted before a worker read them: the backlog outlived the retention.",
    registry=REGISTRY,
)
CONSUMER_LAG = Gauge(
    "evb_consumer_lag_records",
    "Records of this worker's partitions whose offsets are not committed: the sum of `evb_partition_lag_records`.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
TOPIC_PARTITIONS = Gauge(
    "evb_topic_partitions",
    "Partitions of every topic: where the workers' `evb_partition_lag_records` of a topic are fewer, some are nobody's.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
PARTITION_LAG = Gauge(
    "evb_partition_lag_records",
    "Records of a partition of this worker whose offsets are not committed, as Kafka says.",
    ["topic", "partition"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
PARTITION_AGE = Gauge(
    "evb_partition_committed_age_seconds",
    "Time since the committed offset of a partition of this worker moved, while it has a lag; else 0.",
    ["topic", "partition"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
PARTITION_IN_FLIGHT = Gauge(
    "evb_partition_in_flight",
    "Events of a partition of this worker that were read and are not finished.",
    ["topic", "partition"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
PARTITION_OLDEST = Gauge(
    "evb_partition_oldest_in_flight_seconds",
    "Time since the oldest unfinished event of a partition of this worker was read; 0 where there is none.",
    ["topic", "partition"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
STALLS = Counter(
    "evb_worker_stalls_total",
    "Ends of this slot, in all its lives, because something stood still: head, commit, fetch, rebalance, recovery, mover, "
    "overdue, loop.",
    ["reason"],
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "evb_worker_events_in_flight", "Events that were read and are not finished.", multiprocess_mode="livesum", registry=REGISTRY
)
LEFT_BEHIND = Gauge(
    "evb_worker_runs_left_behind",
    "Runs that outlived their deadline and still hold a thread or a task; above 48 the worker starts afresh.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
REMEMBERED = Gauge(
    "evb_worker_executions_remembered",
    "Finished executions of the last hour that the worker would recognise.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
REMEMBERED_BYTES = Gauge(
    "evb_worker_executions_remembered_bytes",
    "Memory set aside for the last hour's finished executions and failed attempts: it grows by steps over an hour of events.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)

CATALOGUE = (
    INGRESS_REQUESTS,
    INGRESS_DURATION,
    INGRESS_IN_PROGRESS,
    EVENTS_ACCEPTED,
    EVENTS_DUPLICATE,
    LIMITER_DEGRADED,
    WORKERS_DIFFERING,
    LOOP_LAG,
    LOG_LINES_DROPPED,
    EXECUTIONS,
    EXECUTION_DURATION,
    END_TO_END,
    EXECUTIONS_REPEATED,
    REDELIVERED,
    OVERDUE,
    BREAKERS_OPEN,
    DEAD_LETTERS,
    EVENTS_LOST,
    CONSUMER_LAG,
    TOPIC_PARTITIONS,
    PARTITION_LAG,
    PARTITION_AGE,
    PARTITION_IN_FLIGHT,
    PARTITION_OLDEST,
    STALLS,
    IN_FLIGHT,
    LEFT_BEHIND,
    REMEMBERED,
    REMEMBERED_BYTES,
)


class Described(NamedTuple):
    """A metric as its page shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    said: str


def described() -> Iterator[Described]:
    """Give every metric of the catalogue under the name that Prometheus shows."""
    for metric in CATALOGUE:
        (family,) = metric.describe()
        suffix = "_total" if family.type == "counter" else ""
        yield Described(family.name + suffix, family.type, metric._labelnames, family.documentation)


def forget_dead() -> None:
    """Drop what processes that are gone said about their present; called when a server process starts."""
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    for file in Path(directory).glob("gauge_live*_*.db") if directory else ():
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)  # only asks
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped


def exposition() -> bytes:
    """Give all metrics of this server (every process of it) in Prometheus's text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    return generate_latest(together)
