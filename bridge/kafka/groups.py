# SPDX-License-Identifier: Apache-2.0
"""What consumer groups have committed. Blocking; joins no group."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, TopicPartition

from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.settings import Settings
from bridge.topics import Topic

ASK_S: Final = 10.0


def committed(settings: Settings, group: str, topic: Topic) -> dict[int, int]:
    """
    Give the next offset that a group has not finished, by partition; partitions without a commit are left out.

    Raises: BrokerUnavailable; Misconfigured where the brokers refuse us.
    """
    reason = Reason()
    consumer = Consumer(connection(settings) | {"group.id": group, "enable.auto.commit": False, "error_cb": reason})
    try:
        asked = [TopicPartition(topic.name(settings), partition) for partition in range(settings.partitions)]
        what = f"Kafka did not say what the group {group} has committed"
        found = reason.ask(consumer, lambda s: consumer.committed(asked, timeout=s), ASK_S, what)
    finally:
        consumer.close()
    return {one.partition: one.offset for one in found if one.offset >= 0}
