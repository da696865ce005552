# SPDX-License-Identifier: Apache-2.0
"""What a delivery report is worth: librdkafka calls some records delivered that Kafka never took."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, Message

IMPLIED: Final = KafkaError(
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "Kafka confirmed a later record of the partition, and not this one"
)


def fault(error: KafkaError | None, message: Message) -> KafkaError | None:
    """
    Give why Kafka may not have a record; None where it has said at which offset.

    Where Kafka turns a producer's first batch in a partition away and takes the one behind it, which is on its way already,
    librdkafka concludes that it has both. What it only concludes has no offset. (decision 0107)
    """
    return IMPLIED if error is None and message.offset() is None else error
