# SPDX-License-Identifier: Apache-2.0
"""
Processes for the chaos tests, found by entry point when this folder is on PYTHONPATH.

Each event type `chaos.<kind>` is handled by exactly the process `chaos-<kind>`, so the check knows what must have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, Result, Skipped, hookimpl


class Echo(Process[NoConfig]):
    """Answer at once with one result."""

    name, version, events = "chaos-echo", "1.0.0", ("chaos.echo",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Completed(results=[Result("chaos.echoed", {"n": event.json()["n"]})])


class Nap(Process[NoConfig]):
    """Wait a little, then publish two results."""

    name, version, events = "chaos-nap", "1.0.0", ("chaos.nap",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        n = event.json()["n"]
        await asyncio.sleep(n % 20 / 1000)
        return Completed(data={"n": n}, results=[Result("chaos.napped", {"n": n, "part": part}) for part in (1, 2)])


class Plain(Process[NoConfig]):
    """A plain function: runs in a thread."""

    name, version, events = "chaos-plain", "1.0.0", ("chaos.plain",)

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Completed(results=[Result("chaos.plain-done", {"n": event.json()["n"]})])


class Fail(Process[NoConfig]):
    """Raise: the execution is repeated by its policy, then fails and leaves a dead letter."""

    name, version, events = "chaos-fail", "1.0.0", ("chaos.fail",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        raise ValueError(f"number {event.json()['n']} is refused")


class Skip(Process[NoConfig]):
    """Skip everything."""

    name, version, events = "chaos-skip", "1.0.0", ("chaos.skip",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Skipped("not today")


@hookimpl
def bridge_processes() -> Sequence[Process[NoConfig]]:
    """Contribute the five processes."""
    return [Echo(), Nap(), Plain(), Fail(), Skip()]
