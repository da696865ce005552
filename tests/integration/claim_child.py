# SPDX-License-Identifier: Apache-2.0
"""
A process that claims an event once, and stops itself (SIGSTOP) when its claim is tentative.

`python -m tests.integration.claim_child <event key> <transaction key>`, settings from EVB_*. Its last word is what it was told.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from bridge.claims.claims import Which
from bridge.domain.errors import Conflict, Unavailable
from bridge.settings import load
from tests.integration.claiming import ONE, deciding
from tests.integration.deciders import Point


async def main(event_key: str, tx_key: str) -> str:
    async def halt(point: Point) -> None:
        if point == "begun":
            os.kill(os.getpid(), signal.SIGSTOP)

    async with deciding(load(), halt) as one:
        try:
            await one.claims.begin(ONE, Which(event_key, tx_key))
        except Unavailable:
            return "Unavailable"
        except Conflict:
            return "Conflict"
    return "won"


if __name__ == "__main__":
    print(asyncio.run(main(*sys.argv[1:])), flush=True)
