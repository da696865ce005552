# SPDX-License-Identifier: Apache-2.0
"""
Notice that a producer has lost its last broker for good, which it says nothing of.

Brokers that are not in an answer about the cluster are forgotten by librdkafka, and where an answer names none (a lone broker
that the controller has just fenced, or all of them) it may not even remember how it came there: every record then times out,
for ever. Its statistics tell. Source: https://github.com/confluentinc/librdkafka/issues/5301.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson
from confluent_kafka import KafkaError

EVERY_MS: Final = 5000
REACHABLE: Final = frozenset({"configured", "learned"})
"""Sources of brokers; the others are librdkafka's own bookkeeping."""


class Brokerless:
    """
    Give `settings` to one client; `lost` is called, in the thread that polls, when it knows no broker twice in a row.

    Brokers that are away are still known: an outage is none of this.
    """

    def __init__(self, lost: Callable[[KafkaError], None]) -> None:
        self._lost, self._missing = lost, 0

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the client."""
        return {"statistics.interval.ms": EVERY_MS, "stats_cb": self}

    def __call__(self, statistics: str) -> None:
        brokers = orjson.loads(statistics)["brokers"].values()
        self._missing = 0 if any(one["source"] in REACHABLE for one in brokers) else self._missing + 1
        if self._missing == 2:
            self._lost(KafkaError(KafkaError._ALL_BROKERS_DOWN, "it has forgotten every broker", fatal=True))
