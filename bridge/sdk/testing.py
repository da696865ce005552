# SPDX-License-Identifier: Apache-2.0
"""
What a plugin's own tests need: an event, and a run of a process as the worker would make it. No Kafka, no Redis.

For plugin authors' test suites; nothing that runs in production imports it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Mapping
from typing import Any

import structlog

from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.redelivery import Journey
from bridge.egress.addresses import LOOPBACK, networks
from bridge.egress.client import session
from bridge.sdk.context import Context
from bridge.sdk.outcomes import AwaitJourneys, Completed, Outcome, Rejected, RetryLater, Skipped
from bridge.sdk.process import AnyProcess
from bridge.sdk.state import NO_STATE, State

TENANT = "test"


def event(event_type: str, data: Any = None, **attributes: str) -> Event:
    """
    Make an event as a process would get it.

    Shape: `data` is written as JSON, except that bytes are taken as they are; `attributes` override or add CloudEvents
           attributes (`id`, `source`, `subject`, `datacontenttype` …).
    """
    body = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
    given = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": event_type} | attributes
    if body:
        given.setdefault("datacontenttype", "application/json")
    content = (event_type, given.get("datacontenttype", ""), body, given.get("partitionkey", ""))
    key = ids.event_key(TENANT, given["source"], given["id"], *content)
    return Event({**given, "tenantid": TENANT, "eventkey": key, "correlationid": given.get("correlationid", key)}, body)


async def run(
    process: AnyProcess,
    event: Event,
    config: Mapping[str, Any] | None = None,
    *,
    attempt: int = 1,
    state: State | None = None,
    journeys: tuple[Journey, ...] | None = None,
) -> Outcome:
    """
    Run a process on an event as the worker does: checked configuration, a thread for a plain function, its deadline.

    Shape:  `state` is what it keeps of the event's key, for a process that has state; give one `State()` to several runs.
            `journeys` are those of a message: give the same ones a second time with their ends.
            `context.http` reaches this machine and public addresses, so that a test can have a server of its own.
    Raises: pydantic.ValidationError for a configuration that the process refuses, TimeoutError after `timeout_s`, TypeError
            where the process returned no outcome, and whatever the process raises.
    """
    kept = state if state is not None else State()
    mine = State(kept.kept) if process.state else NO_STATE
    async with session(networks(LOOPBACK), total_s=process.timeout_s) as http:
        execution = ids.execution_id(event.key, process.name)
        context = Context(
            tenant=event.tenant,
            correlation_id=event.correlation_id,
            execution_id=execution,
            attempt=attempt,
            config=process.Config.model_validate(dict(config or {})),
            log=structlog.get_logger("plugin").bind(process=process.name, execution_id=execution),
            http=http,
            state=mine,
            journeys=journeys,
        )
        async with asyncio.timeout(process.timeout_s):
            outcome = await _call(process, event, context)
    if not isinstance(outcome, (Completed, AwaitJourneys, Skipped, RetryLater, Rejected)):
        raise TypeError(f"{process.name} returned {outcome!r}; return Completed, AwaitJourneys, Skipped, RetryLater or Rejected")
    if mine.changed and (isinstance(outcome, (Completed, AwaitJourneys)) or (isinstance(outcome, Rejected) and outcome.keep)):
        kept.put(mine.get())
    return outcome


async def _call(process: AnyProcess, event: Event, context: Context[Any]) -> object:
    if inspect.iscoroutinefunction(process.run):
        return await process.run(event, context)
    return await asyncio.to_thread(process.run, event, context)
