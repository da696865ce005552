# SPDX-License-Identifier: Apache-2.0
"""
Signals as events: written by whoever signals (web, worker, timers), read by the worker that advances the run. Pure.

All signals of a run have one key, its id, and so one order.
"""

from __future__ import annotations

from typing import Final

from bridge.domain.event import Event
from bridge.domain.moments import iso
from bridge.workflows.signals import Signal, encode

TYPE: Final = "flow.signal"
SOURCE: Final = "/workflows"
RUNS: Final = "runs"
"""The process that advances runs, and the state that it keeps them in; it comes with the worker."""
RUN, TASK, ATTEMPT = "flowrun", "flowtask", "flowattempt"
"""Attributes of an event that a run's task has given to a process; nobody outside can set them."""


def signal_event(tenant: str, run_id: str, key: str, signal: Signal, at_ms: int, correlation_id: str = "") -> Event:
    """Give the event that carries a signal; `key` names it."""
    attributes = {
        "specversion": "1.0",
        "id": key,
        "source": SOURCE,
        "type": TYPE,
        "time": iso(at_ms),
        "datacontenttype": "application/json",
        "tenantid": tenant,
        "eventkey": key,
        "partitionkey": run_id,
        "correlationid": correlation_id or run_id,
    }
    return Event(attributes, encode(signal))


def run_of(event: Event) -> str:
    """Give the id of the run that a signal is for."""
    return event.attributes["partitionkey"]
