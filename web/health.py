# SPDX-License-Identifier: Apache-2.0
"""
Can this server do its work? `/readyz` asks it before traffic is sent here.

Only what intake cannot do without is required: Kafka. The registry was read before the first request, and goes on from memory
where it is old. Redis is required only where the operator chose to refuse without it. Runs in a Flask thread, so it may block.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.domain.errors import BridgeError
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.redis.epoch import whole
from bridge.redis.keys import Keys
from bridge.topics import EVENTS
from web.services import Services

KAFKA_S = 2.0
FRESH_S = 1.0
"""An answer of Kafka's is good for this long, so that many askers cost one question."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `/readyz?verbose`; a failed one that is required makes the server not ready."""

    name: str
    passed: bool
    required: bool
    said: str


class Health:
    """Asks the parts that this server depends on."""

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self._services, self._loop = services, loop
        self._reason = Reason()
        self._admin = self._client()
        self._epoch = Keys(services.settings.topic_prefix).epoch
        self._lock = threading.Lock()
        self._kafka = Check("kafka", False, True, "not asked yet")
        self._asked = 0.0

    def _client(self) -> AdminClient:
        return AdminClient(connection(self._services.settings) | {"error_cb": self._reason})  # type: ignore[arg-type]  # its stub forbids the logger it takes

    def checks(self) -> tuple[Check, ...]:
        """Ask everything; takes two seconds at most for Kafka and the Redis time-out."""
        return self._ask_kafka(), self._registry(), self._ask_redis(), self._limiter()

    def _ask_kafka(self) -> Check:
        with self._lock:
            if time.monotonic() - self._asked > FRESH_S:
                self._kafka = self._kafka_now()
                self._asked = time.monotonic()
            return self._kafka

    def _kafka_now(self) -> Check:
        topic = EVENTS.name(self._services.settings)
        try:
            found = self._admin.list_topics(topic, timeout=KAFKA_S).topics[topic]
        except KafkaException as err:
            self._admin.poll(0)  # which tells us the reason
            self._admin = self._client()  # this one may have forgotten every broker (`bridge.kafka.brokerless`)
            return Check("kafka", False, True, self._reason.of(err))
        self._admin.poll(0)  # refusals that were passed over wait there
        self._reason.clear()
        if found.error is not None:
            return Check("kafka", False, True, f"{topic}: {found.error.str()}")
        orphans = [p.id for p in found.partitions.values() if p.leader < 0]
        return Check("kafka", not orphans, True, f"no leader for partitions {orphans} of {topic}" if orphans else "ok")

    def _registry(self) -> Check:
        registry = self._services.registry
        if registry.current:
            return Check(
                "registry", True, False, "ok" if registry.announced() else "is read; no worker has announced its processes"
            )
        return Check("registry", False, False, f"{registry.age_s:.0f} s old: {registry.fault or 'the brokers are silent'}")

    def _ask_redis(self) -> Check:
        redis = self._services.settings.redis
        required = redis.when_down == "refuse"
        asking = asyncio.run_coroutine_threadsafe(self._services.pipe.call("GET", self._epoch), self._loop)
        try:
            epoch = asking.result(redis.timeout_ms / 1000 + 1)
        except (BridgeError, TimeoutError) as err:
            return Check("redis", False, required, self._services.pipe.fault or str(err) or "no answer")
        rebuilt = whole(epoch, self._services.pipe.run_id)
        return Check("redis", True, required, "ok" if rebuilt else "answers; the view is being rebuilt")

    def _limiter(self) -> Check:
        degraded = self._services.intake.degraded
        return Check("limiter", not degraded, False, "each web process limits on its own" if degraded else "ok")
