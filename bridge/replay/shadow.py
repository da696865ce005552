# SPDX-License-Identifier: Apache-2.0
"""Copies of past events in a topic of the operator's: what a new consumer can be tried on without touching anything."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Message

from bridge.domain.errors import Misconfigured, NotFound
from bridge.kafka.admin import TIMEOUT_S, client
from bridge.kafka.paced import Record
from bridge.kafka.scan import EVERYTHING, Scan
from bridge.settings import Settings

FROM: Final = "ce_replayedfrom"
PLAN: Final = "replay_plan"


def partitions_of(settings: Settings, topic: str) -> int:
    """Give how many partitions a topic has that may be written to. Raises: NotFound, Misconfigured where it is one of ours."""
    if topic.startswith(f"{settings.topic_prefix}."):
        raise Misconfigured(f"{topic} is a topic of the bridge: copies of events belong into one of your own.")
    found = client(settings).cluster(TIMEOUT_S).topics.get(topic)
    if found is None or found.error is not None:
        raise NotFound(f"The topic {topic} does not exist: create it first.")
    return len(found.partitions)


def copied(settings: Settings, topic: str, plan: str) -> set[tuple[int, int]]:
    """
    Give the partition and offset of every event that a plan has copied already, 0.2 kB each.

    Raises: as `partitions_of`, and BrokerUnavailable.
    """
    parts = {(topic, number): EVERYTHING for number in range(partitions_of(settings, topic))}
    found = set()
    with Scan(settings, (), within=parts) as scan:
        while not scan.done:
            for message in scan.read(500, 0.2):
                headers: dict[str, Any] = dict(message.headers() or ())
                if headers.get(PLAN) == plan.encode():
                    _, partition, offset = headers[FROM].decode().rsplit("/", 2)
                    found.add((int(partition), int(offset)))
    return found


def copy_of(message: Message, topic: str, plan: str) -> Record:
    """Give the event as it is, its id and time included, with `replayedfrom` naming where its own record lies."""
    given: Any = message.headers() or ()
    headers = [(name, value) for name, value in given if name != FROM]
    place = f"{message.topic()}/{message.partition()}/{message.offset()}"
    headers += [(FROM, place.encode()), (PLAN, plan.encode())]
    return Record(topic, -1, message.key(), message.value(), headers)
