# SPDX-License-Identifier: Apache-2.0
"""A slow process for the measurements, found by entry point when this folder is on PYTHONPATH."""

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


@hookimpl
def bridge_processes() -> Sequence[Process[NoConfig]]:
    """Contribute the slow process."""
    return [Slow()]
