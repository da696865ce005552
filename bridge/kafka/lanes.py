# SPDX-License-Identifier: Apache-2.0
"""
What lies in processes' own lanes and is not finished. Blocking; joins no group.

The router writes no execution's record when it forwards: until the lane's worker has written one, this is where Kafka has them.
"""

from __future__ import annotations

from bridge.kafka.admin import lanes
from bridge.kafka.groups import committed
from bridge.kafka.scan import EVERYTHING, Stretches
from bridge.settings import Settings
from bridge.topics import lane, lane_group


def unfinished(settings: Settings) -> Stretches:
    """
    Say what to read; ask before reading executions: whatever is left out has its record already.

    Raises: BrokerUnavailable; Misconfigured where the brokers refuse us.
    """
    found = {}
    for process in lanes(settings):
        topic = lane(process)
        done = committed(settings, lane_group(settings, process), topic)
        for partition in range(settings.partitions):
            found[topic.name(settings), partition] = (done.get(partition, 0), EVERYTHING[1])
    return found
