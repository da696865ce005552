# SPDX-License-Identifier: Apache-2.0
"""Processes for the chaos tests that keep order or state, or have a lane of their own; named as those of `evb_chaos` are."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, Result, RetryLater, hookimpl

EVERY = 7
"""Of the numbers, each such one is put off once: everything behind it in its key has to wait."""


class Queue(Process[NoConfig]):
    """Keep the order of a key, also where an attempt has to be repeated."""

    name, version, events, ordered = "chaos-queue", "1.0.0", ("chaos.queue",), True

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        n = event.json()["n"]
        if n % EVERY == 0 and context.attempt == 1:
            return RetryLater("not yet", after_s=1)
        return Completed(results=[Result("chaos.queued", {"n": n})])


class Count(Process[NoConfig]):
    """Count the events of a key in its state: each counts once, whatever is killed."""

    name, version, events, state, ordered = "chaos-count", "1.0.0", ("chaos.count",), "chaos-counts", True

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        counted = (context.state.get() or 0) + 1
        context.state.put(counted)
        return Completed(results=[Result("chaos.counted", {"n": event.json()["n"], "counted": counted})])


class Lane(Process[NoConfig]):
    """Run in a worker of its own."""

    name, version, events, lane = "chaos-lane", "1.0.0", ("chaos.lane",), "own"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Completed(results=[Result("chaos.laned", {"n": event.json()["n"]})])


@hookimpl
def bridge_processes() -> Sequence[Process[NoConfig]]:
    """Contribute the three processes."""
    return [Queue(), Count(), Lane()]
