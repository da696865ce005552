# SPDX-License-Identifier: Apache-2.0
"""What consumer groups have committed, and who is in them. Blocking; joins no group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bridge.domain.errors import BrokerUnavailable
from bridge.kafka.admin import client
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason, answered
from bridge.settings import Settings
from bridge.topics import Topic

ASK_S: Final = 10.0
LEAST_S: Final = 0.1


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
        found = reason.ask(consumer, lambda s: answered(consumer.committed(asked, timeout=s)), ASK_S, what)
    finally:
        consumer.close()
    return {one.partition: one.offset for one in found if one.offset >= 0}


def owners(settings: Settings, group: str) -> Mapping[tuple[str, int], str]:
    """
    Say whose each partition (topic and number) is: the member's instance id, where it has none its own id. Nobody's are left out.

    Raises: BrokerUnavailable.
    """
    admin = client(settings)  # it has to live until the answer

    def question(patience_s: float) -> Any:
        try:
            return (
                admin.describe_consumer_groups([group], request_timeout=max(patience_s, LEAST_S))[group].result(ASK_S + 1).members
            )
        except KafkaException as err:
            if err.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return ()
            raise

    what = f"Kafka did not say who is in the group {group}"
    try:
        members = Reason().ask(admin, question, ASK_S, what)
    except TimeoutError as err:
        raise BrokerUnavailable(f"{what} within {ASK_S:g} s.") from err
    return {
        (one.topic, one.partition): member.group_instance_id or member.member_id
        for member in members
        for one in member.assignment.topic_partitions
    }
