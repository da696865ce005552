# SPDX-License-Identifier: Apache-2.0
"""Processes for the measurements, found by entry point when this folder is on PYTHONPATH."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, hookimpl


class Slow(Process[NoConfig]):
    """Wait as many seconds as the event says, as for an answer from elsewhere."""

    name, version, events = "slow", "1.0.0", ("slow.posted",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        await asyncio.sleep(event.json()["seconds"])
        return Completed()


class Keeper(Process[NoConfig]):
    """Keep the last event of a key, and how many there were."""

    name, version, events, state, ordered = "keeper", "1.0.0", ("kept.posted",), "kept", True

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        before = context.state.get() or {"seen": 0}
        context.state.put({"seen": before["seen"] + 1, "last": event.json()})
        return Completed()


class Quick(Process[NoConfig]):
    """Do as much, and keep nothing."""

    name, version, events = "quick", "1.0.0", ("quick.posted",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        event.json()
        return Completed()


@hookimpl
def bridge_processes() -> Sequence[Process[NoConfig]]:
    """Contribute them."""
    return [Slow(), Keeper(), Quick()]
