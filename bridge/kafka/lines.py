# SPDX-License-Identifier: Apache-2.0
"""From Kafka's messages to the lines that `bridge.decisions.facts` folds."""

from __future__ import annotations

from confluent_kafka import Message

from bridge.decisions.facts import EPOCH_HEADER, Line


def line_of(message: Message) -> Line:
    """Give what a record of a topic of facts says."""
    epoch = dict(message.headers() or ()).get(EPOCH_HEADER)
    return Line(
        message.partition() or 0,
        message.key() or b"",
        message.value(),
        epoch if isinstance(epoch, bytes) else None,
        message.timestamp()[1],
    )
