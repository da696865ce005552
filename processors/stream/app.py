# SPDX-License-Identifier: Apache-2.0
"""
The Faust application of one worker: its settings, in one place, each with its reason. Called by `processors.worker`.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any

import cramjam  # noqa: F401  aiokafka reads compressed records with it; without it the worker would fail on the first one
import faust
import faust.app
import faust.streams
from faust.auth import SASLCredentials, SSLCredentials
from mode.utils.queues import ThrowableQueue
from yarl import URL

from bridge.domain.limits import MIB
from bridge.settings import Kafka, Settings
from bridge.topics import lane_group, worker_group
from processors.stream.assignor import WholeAssignor
from processors.stream.batches import BatchTransport
from processors.tables.recovery import TimedTables

SESSION_S = 10.0
HEARTBEAT_S = 3.0
REBALANCE_S = 30.0
"""How long the brokers wait for the members of a group to join it again."""


class BatchQueue(ThrowableQueue[Any]):
    """
    What was fetched and waits for its agent; it never becomes full.

    Faust takes a partition out of its fetches when that brings a batch into a queue under pressure, so one batch more may come of
    every partition. If that fills the queue, Faust stops delivering, to all agents, until this one takes a batch: and the agent
    of set-aside work waits for seconds. Faust's own pressure begins at four fifths, which leaves no place for that.
    """

    pressure_high_ratio = 4.0  # pressure from a quarter of the size on
    pressure_drop_ratio = 0.1


class WorkerApp(faust.App):
    """Faust's application without its own producer, web server and data directory: the worker has no use for them."""

    logger = logging.getLogger("faust")  # mode would give every subclass a logger of its module

    class BootStrategy(faust.app.BootStrategy):
        enable_kafka_producer = False
        enable_web = False

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> BatchQueue:
        """Make an agent's queue."""
        return BatchQueue(maxsize=maxsize, flow_control=self.flow_control, clear_on_resume=clear_on_resume)

    def _create_directories(self) -> None:
        """Make none: no state of ours lies on a disk."""


def make_app(settings: Settings) -> WorkerApp:
    """
    Give the Faust application, not started, with a transport that delivers batches.

    Raises: RuntimeError where Faust came without its compiled stream iterator, which alone leaves stale events unacknowledged.
    """
    if faust.streams._CStreamIterator is None:  # type: ignore[attr-defined]  # not exported
        raise RuntimeError("faust-streaming was installed without its compiled parts; install it from a wheel")
    servers = [URL(f"kafka://{server.strip()}") for server in settings.kafka.bootstrap_servers.split(",")]
    app = WorkerApp(
        lane_group(settings, settings.worker_lane) if settings.worker_lane else worker_group(settings),
        broker=servers,
        broker_credentials=credentials(settings.kafka),
        broker_client_id="event-bridge",
        consumer_group_instance_id=settings.worker_slot,  # static membership: back after a kill without a rebalance
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_rebalance_timeout=REBALANCE_S,
        broker_request_timeout=40.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=4000,
        broker_max_poll_interval=3600.0,  # a full window is backpressure, not death: the watchdog decides about stalls
        consumer_max_fetch_size=1 * MIB,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        stream_wait_empty=True,
        stream_buffer_maxsize=64,  # batches, not records
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        TableManager=TimedTables,
        PartitionAssignor=WholeAssignor,
        key_serializer="raw",
        value_serializer="raw",
        topic_disable_leader=True,
        topic_allow_declare=False,
        reply_create_topic=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    app.transport = BatchTransport(servers, app)
    return app


def credentials(kafka: Kafka) -> SASLCredentials | SSLCredentials | None:
    """Say in Faust's terms how to authenticate to the brokers; None where nothing is asked for."""
    context = _tls(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


def reaching(kafka: Kafka) -> dict[str, Any]:
    """Say in aiokafka's terms how to reach and authenticate to the brokers."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = _tls(kafka)
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password.get_secret_value()
    return options


def _tls(kafka: Kafka) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.ssl_ca_file or None)
    if kafka.ssl_certificate_file:
        options: dict[str, Any] = {"keyfile": kafka.ssl_key_file} if kafka.ssl_key_file else {}
        context.load_cert_chain(kafka.ssl_certificate_file, **options)
    return context
