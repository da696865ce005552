# SPDX-License-Identifier: Apache-2.0
"""Publishes every event, unchanged, to `bridge.results.record`: the first thing a newcomer sees arriving."""

from __future__ import annotations

from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, Result, hookimpl


class Record(Process[NoConfig]):
    """Copy each event to the result topic, bytes and content type as they came."""

    name, version, events = "record", "1.0.0", ("*",)

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:  # noqa: ARG002
        """Return the event's own data as one result of the event's type."""
        result = Result(event.type, event.data, subject=event.attributes.get("subject", ""), content_type=event.content_type)
        return Completed(results=[result])


@hookimpl
def bridge_processes() -> list[Record]:
    """Contribute the process `record`."""
    return [Record()]
