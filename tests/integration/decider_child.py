# SPDX-License-Identifier: Apache-2.0
"""
A process with many who all want to change one tenant from one version, and do not give up before they know that it is changed.

`python -m tests.integration.decider_child <version> <first quota> <attempts> <point or -> <seed>`, settings from EVB_*. With a
point it stops itself (SIGSTOP) the first time that a decision of its own gets there. Talks in lines on stdin and stdout.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from bridge.domain.errors import Conflict, Unavailable
from bridge.registry.changes import Changes
from bridge.settings import load
from tests.integration.deciders import Point, change, decider, too_late


@dataclass
class Attempt:
    """What one of them was told: `won`, or that another's change counts; and whether it heard "nobody knows" before."""

    quota: int
    won: bool = False
    doubt: bool = False


async def insist(changes: Changes, attempt: Attempt, version: int, chance: random.Random, tried: asyncio.Semaphore) -> None:
    """Try until it is won, or until it is too late: somebody's change counts."""
    over = False
    while not over:
        try:
            await change(changes, attempt.quota, version)
            over = attempt.won = True
        except (Conflict, Unavailable) as err:
            over = too_late(err)
            attempt.doubt |= isinstance(err, Unavailable)
        tried.release()
        if not over:
            await asyncio.sleep(chance.uniform(0.3, 1.2))


async def main(words: Sequence[str]) -> None:
    version, first, many, wanted, seed = int(words[0]), int(words[1]), int(words[2]), words[3], int(words[4])
    stops = [wanted]

    async def halt(point: Point) -> None:
        if point in stops:
            stops.clear()
            os.kill(os.getpid(), signal.SIGSTOP)

    async with decider(load(), halt) as changes:
        attempts, chance, tried = [Attempt(first + n) for n in range(many)], random.Random(seed), asyncio.Semaphore(0)
        await say("ready")
        running = asyncio.gather(*(insist(changes, one, version, chance, tried) for one in attempts))
        for _ in attempts:
            await tried.acquire()
        print("tried", flush=True)
        await running
        told = await say(orjson.dumps([asdict(one) for one in attempts]).decode())
        while told:
            told = await say(str(changes.registry.windows("acme")[0].quota))


async def say(text: str) -> bool:
    """Say something, and wait to be told to go on; False where nobody is there any more."""
    print(text, flush=True)
    return bool(await asyncio.to_thread(sys.stdin.readline))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
