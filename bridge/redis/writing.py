# SPDX-License-Identifier: Apache-2.0
"""Write a fact into the live view from a door that has just accepted an event, before it answers. The worker says it again."""

from __future__ import annotations

import hiredis

from bridge.domain.errors import ViewUnavailable
from bridge.redis.epoch import ViewGuard
from bridge.redis.keys import Keys
from bridge.redis.operations import Operation
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script


async def write_fact(pipe: Pipe, keys: Keys, guard: ViewGuard, fact: Operation, what: str) -> None:
    """Write it. Where Redis cannot be told, the view has a hole, and is rebuilt; `what` says of what, for the log."""
    try:
        await pipe.script(script("project"), (keys.epoch, keys.passed), fact)
    except (ViewUnavailable, hiredis.ReplyError) as err:
        guard.hole(f"{what} could not be listed: {err}")
