# SPDX-License-Identifier: Apache-2.0
"""
Restore in Redis what decisions need to know, from the facts in Kafka: each object's highest valid version.

Called by the rebuild, after the markers of the new epoch are in every partition and before that epoch is opened: what was
decided under an older one either stands before the markers, and is read here, or is void.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

from bridge.facts import Facts
from bridge.kafka.lines import line_of
from bridge.kafka.scan import Scan
from bridge.redis.keys import Keys
from bridge.redis.pipe import Argument, Pipe
from bridge.settings import Settings
from bridge.topics import Topic

IN_FLIGHT = 500


async def restore_decisions(settings: Settings, topic: Topic, pipe: Pipe) -> int:
    """
    Read a topic of facts and write what decisions about its objects go on from; gives how many objects there are.

    Order:  only while the view is declared lost.
    Raises: BrokerUnavailable, ViewUnavailable.
    """
    facts = await asyncio.to_thread(_read, settings, topic)
    commands = commands_of(Keys(settings.topic_prefix), facts)
    while chunk := list(islice(commands, IN_FLIGHT)):
        await asyncio.gather(*(pipe.call(*command) for command in chunk))
    return len(facts.current)


def commands_of(keys: Keys, facts: Facts) -> Iterator[tuple[Argument, ...]]:
    """Give the commands, in order; what an older life left of an object goes first."""
    for ref, version in facts.current.items():
        name = keys.decision(*ref)
        yield ("DEL", name)
        yield ("HSET", name, "counter", version, "confirmed", version)


def _read(settings: Settings, topic: Topic) -> Facts:
    facts = Facts()
    with Scan(settings, (topic,)) as scan:
        while not scan.done:
            for message in scan.read(1000, 0.5):
                try:
                    facts.apply(line_of(message))
                except ValueError:  # counted and named by every process that follows the topic
                    continue
    return facts
