# SPDX-License-Identifier: Apache-2.0
"""
How partitions are shared out among the workers of a group: as Faust does it, but never without a topic.

Right after a start of the brokers the metadata may lack topics. Faust then shares out the others only, and nobody would read the
rest until the next rebalance, with nothing to be seen from outside.
"""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor

from processors.ending import doubt


class WholeAssignor(PartitionAssignor):
    """Faust's assignor, which ends the worker where the brokers do not know of a topic that the group reads."""

    @classmethod
    def _get_copartitioned_groups(cls, topics: set[str], cluster: Any, subscriptions: Any) -> Any:
        missing = sorted(topic for topic in topics if not cluster.partitions_for_topic(topic))
        if missing:
            doubt("the brokers do not know of topics that are to be read", topics=missing)
        return super()._get_copartitioned_groups(topics, cluster, subscriptions)
