# SPDX-License-Identifier: Apache-2.0
"""
Carry a plan out, at a rate. Killed at any moment it leaves a state from which the same plan, made again, goes on.

A replayed letter is one redelivery, and once Kafka has that, the letter's mark. Where a run died in between, the next one
finds the redelivery in Kafka and writes the mark alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from bridge.deadletters.letter import Letter, tombstone
from bridge.deadletters.plan import Plan
from bridge.kafka.paced import Paced, Progress
from bridge.kafka.scan import Scan
from bridge.replay.sent import name_of, sent
from bridge.settings import Settings
from bridge.topics import DEAD_LETTERS


def replay(settings: Settings, plan: Plan, rate: float, progress: Progress, most_s: float = float("inf")) -> int:
    """
    Give each letter's event to its process again, and mark the letter; gives how many are done.

    Order:  that of the partitions; no new one is begun after `most_s` seconds.
    Again:  a new plan leaves out what was done; two runs at the same time begin the same executions.
    Raises: BrokerUnavailable, Misconfigured.
    """
    if not plan.entries:
        return 0
    known, deadline = sent(settings, plan.since_ms), time.monotonic() + most_s
    with Paced(settings, rate, progress) as paced:
        for letter in letters_of(settings, plan):
            if time.monotonic() > deadline:
                break
            replays = plan.entries[letter.key].replays
            mark = letter.mark(settings, replays, int(time.time() * 1000))
            if name_of(letter.replay_as(replays)) in known:
                paced.send(mark)
            else:
                paced.send(letter.redelivery(settings, replays), mark)
        paced.finish()
    return paced.done


def purge(settings: Settings, plan: Plan, rate: float, progress: Progress, most_s: float = float("inf")) -> int:
    """
    Remove the letters for good, and give how many are done.

    Order:  the oldest first; no new one is begun after `most_s` seconds.
    Raises: BrokerUnavailable, Misconfigured.
    """
    deadline = time.monotonic() + most_s
    with Paced(settings, rate, progress) as paced:
        for key, entry in plan.entries.items():
            if time.monotonic() > deadline:
                break
            paced.send(tombstone(settings, key, entry.partition))
        paced.finish()
    return paced.done


def letters_of(settings: Settings, plan: Plan) -> Iterator[Letter]:
    """Read the plan's letters where it found them; what Kafka has let go of meanwhile does not come."""
    topic = DEAD_LETTERS.name(settings)
    wanted = {(entry.partition, entry.offset) for entry in plan.entries.values()}
    stretches: dict[tuple[str, int], tuple[int, int]] = {}
    for partition, offset in wanted:
        first, end = stretches.get((topic, partition), (offset, offset + 1))
        stretches[topic, partition] = min(first, offset), max(end, offset + 1)
    with Scan(settings, (DEAD_LETTERS,), within=stretches) as scan:
        while not scan.done:
            for message in scan.read(100, 0.2):
                if (message.partition(), message.offset()) in wanted:
                    yield Letter(message)
