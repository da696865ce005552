# SPDX-License-Identifier: Apache-2.0
"""
Restore in Redis what decisions need to know, from the facts in Kafka: each object's highest valid version.

Called by the rebuild, after the markers of the new epoch are in every partition and before that epoch is opened: what was
decided under an older one either stands before the markers, and is read here, or is void.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Final

from bridge.decisions.facts import Facts
from bridge.domain.errors import ViewUnavailable
from bridge.kafka.lines import line_of
from bridge.kafka.scan import Scan
from bridge.redis.keys import Keys
from bridge.redis.lease import Lease
from bridge.redis.pipe import Argument, Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.topics import Topic

CHUNK: Final = 500  # objects of one script call: about a millisecond of Redis' time


async def restore_decisions(settings: Settings, topic: Topic, pipe: Pipe, lease: Lease) -> int:
    """
    Read a topic of facts and write what decisions about its objects go on from; gives how many objects there are.

    Order:  only while the view is declared lost. Nothing is written once the right to rebuild is lost: a rebuild that slept
            would else turn back what was decided since.
    Raises: BrokerUnavailable, ViewUnavailable where the right was lost.
    """
    facts = await asyncio.to_thread(_read, settings, topic)
    keys, versions = Keys(settings.topic_prefix), iter(facts.current.items())
    while chunk := list(islice(versions, CHUNK)):
        names = [keys.decision(*ref) for ref, _ in chunk]
        args: list[Argument] = [lease.token, *(version for _, version in chunk)]
        if await pipe.script(script("restore_decisions"), (keys.rebuild, *names), args) != 1:
            raise ViewUnavailable("The rebuild was overtaken: another process rebuilds, or Redis was emptied.")
    return len(facts.current)


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
