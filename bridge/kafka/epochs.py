# SPDX-License-Identifier: Apache-2.0
"""
Begin a new epoch in Kafka: one marker in every partition of the topics whose records are decisions. Blocking.

What a process that slept through the change still writes under an older epoch lies behind the marker, and is void. Called
by the rebuild only, before it reads anything else.
"""

from __future__ import annotations

import secrets
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bridge.decisions.facts import EPOCH_HEADER, MARKER, marker_key, parse_key
from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.client import producing
from bridge.kafka.scan import Scan
from bridge.settings import Settings
from bridge.topics import CLAIMS, REGISTRY

DECIDED: Final = (REGISTRY, CLAIMS)
"""The topics whose records are decisions."""

CONFIRM_S: Final = 30.0
"""Long, because a broker that was just started may need a while, and a rebuild that gave up would only begin again."""


def begin_epoch(settings: Settings) -> int:
    """
    Write the marker of a new epoch to every partition and give its number: one more than the highest so far.

    Raises: BrokerUnavailable unless Kafka has confirmed every marker.
    """
    # made before it has something to send: what comes before librdkafka has its producer id waits for half a second
    producer = Producer(producing(settings, linger_ms=0, timeout_s=CONFIRM_S))
    number, writer = 1 + highest_epoch(settings), secrets.token_hex(4)
    faults: list[str] = []
    confirmed = 0

    def report(error: KafkaError | None, _: Message) -> None:
        nonlocal confirmed
        if error is None:
            confirmed += 1
        else:
            faults.append(error.str())

    try:
        for topic in DECIDED:
            for partition in range(settings.partitions):
                producer.produce(
                    topic.name(settings),
                    b"",
                    marker_key(number, writer),
                    partition=partition,
                    headers=[(EPOCH_HEADER, str(number).encode())],
                    on_delivery=report,
                )
    except KafkaException as err:
        raise BrokerUnavailable(f"The epoch marker could not be written: {err}.") from err
    producer.flush(CONFIRM_S + 1)
    if faults or confirmed < settings.partitions * len(DECIDED):
        raise BrokerUnavailable(f"Kafka did not confirm the epoch marker: {', '.join(sorted(set(faults))) or 'no answer'}.")
    return number


def highest_epoch(settings: Settings) -> int:
    """Give the highest epoch that any partition of the registry has a marker of; 0 before the first."""
    highest = 0
    with Scan(settings, (REGISTRY,)) as scan:
        while not scan.done:
            for message in scan.read(1000, 0.5):
                try:
                    ref, version = parse_key(message.key() or b"")
                except ValueError:  # the registry's reader counts and names what it cannot read
                    continue
                if ref.kind == MARKER:
                    highest = max(highest, version or 0)
    return highest
