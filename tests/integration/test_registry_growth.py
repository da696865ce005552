# SPDX-License-Identifier: Apache-2.0
"""The registry stays small: Kafka forgets repeated heartbeats within hours, and superseded versions get their tombstones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Message, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bridge.decisions.facts import EPOCH_HEADER, EPOCH_SPAN, Ref, parse_key
from bridge.domain.limits import Window
from bridge.kafka.admin import client, ensure_topics
from bridge.kafka.client import producing
from bridge.kafka.scan import Scan
from bridge.registry.announcing import HEARTBEAT_S
from bridge.registry.objects import AnnouncedProcess, Announcement, Tenant, encode, ref_of
from bridge.registry.session import changing
from bridge.registry.tenants import change_tenant
from bridge.settings import Settings
from bridge.topics import HOUR_MS, REGISTRY
from tests.conftest import StackOfTests
from tests.web_under_test import until

HOURS = 6


def log_of(settings: Settings) -> list[Message]:
    """Read the whole registry."""
    found = []
    with Scan(settings, (REGISTRY,)) as scan:
        while not scan.done:
            found += scan.read(1000, 0.5)
    return found


def write(settings: Settings, ref: Ref, version: int | None, value: bytes, at_ms: list[int]) -> None:
    """Write a record of the registry once for each time given, as it was written then."""
    producer = Producer(producing(settings, linger_ms=5, timeout_s=10))
    headers = [] if version is None else [(EPOCH_HEADER, str(version // EPOCH_SPAN).encode())]
    for number, one in enumerate(at_ms):
        key, partition = ref.record_key(version), ref.partition(settings.partitions)
        producer.produce(REGISTRY.name(settings), value, key, partition, timestamp=one, headers=headers)
        if number % 100 == 0:
            assert producer.flush(10) == 0, "what is in one batch of the producer is in one segment"
    assert producer.flush(10) == 0


@contextmanager
def eager_cleaner(settings: Settings) -> Iterator[None]:
    """Let the broker look for something to compact all the time, where it looks every 15 s by default."""

    admin = client(settings)

    def set_(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=operation)
        broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        for done in admin.incremental_alter_configs([broker]).values():
            done.result(timeout=15)

    set_(AlterConfigOpType.SET)
    try:
        yield
    finally:
        set_(AlterConfigOpType.DELETE)


def test_hours_of_heartbeats_are_compacted_to_the_last_ones(stack: StackOfTests) -> None:
    settings = stack.settings()
    ensure_topics(settings)
    hello = Announcement(slot="w1", processes=(AnnouncedProcess("record", "1", ("*",)),), at_ms=1, instance="i")
    now, beat_ms = time.time_ns() // 1_000_000, int(HEARTBEAT_S * 1000)
    moments = list(range(now - HOURS * HOUR_MS, now, beat_ms))
    with eager_cleaner(settings):
        write(settings, ref_of(hello), None, encode(hello), moments)
        most = 2 * HOUR_MS // beat_ms + HOURS
        until(lambda: len(log_of(settings)) <= most, 30)
    assert len(log_of(settings)) >= HOUR_MS // beat_ms, "the last hour is left alone"


async def test_versions_that_lost_their_meaning_an_hour_ago_get_tombstones_with_the_next_change(stack: StackOfTests) -> None:
    settings = stack.settings()
    ensure_topics(settings)
    now, ref = time.time_ns() // 1_000_000, Ref("tenant", "acme", "")
    for number, minutes_ago in ((1, 180), (2, 120), (3, 59), (4, 5)):
        value = encode(Tenant(name="acme", windows=(Window(number, 1),)))
        write(settings, ref, number, value, [now - minutes_ago * 60_000])
    async with changing(settings) as changes:
        await change_tenant(changes, "acme", windows=[Window(5, 1)])
    versions = [(parse_key(m.key() or b"")[1], m.value() is None) for m in log_of(settings) if m.key().startswith(b"tenant/")]
    assert [version for version, removed in versions if removed] == [1], "2 lost its meaning 59 minutes ago, when 3 came"
    assert [version for version, removed in versions if not removed] == [1, 2, 3, 4, EPOCH_SPAN + 1]
    async with changing(settings) as changes:
        assert changes.registry.windows("acme") == (Window(5, 1),)
        assert changes.registry.facts.superseded.keys() == {ref}
        assert sorted(changes.registry.facts.superseded[ref]) == [2, 3, 4]
