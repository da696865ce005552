# SPDX-License-Identifier: Apache-2.0
"""
Start runs, signal to them, and look them up. Called by the doors and by `evb runs`.

What is answered is in Kafka; what comes of it, the worker decides. A run can be looked up from the moment that it was started.
"""

from __future__ import annotations

import time
from typing import Any

from uuid_utils import uuid7

from bridge.domain import ids
from bridge.domain.errors import NotFound, TooLarge, ViewUnavailable
from bridge.redis import operations
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.runs.carried import RUNS, signal_event
from bridge.runs.sending import Sender
from bridge.settings import Settings
from bridge.view.kept import kept
from bridge.workflows.advance import fresh
from bridge.workflows.limits import RUN_BYTES
from bridge.workflows.run import Run, decode, encode
from bridge.workflows.signals import Signal, Start


class Runs:
    """One per process, on its loop."""

    def __init__(self, settings: Settings, pipe: Pipe, sender: Sender) -> None:
        self._pipe, self._sender, self._keys = pipe, sender, Keys(settings.topic_prefix)

    async def start(self, start: Start, cause: str = "") -> Run:
        """
        Start a run, and give it as it is before anything of it has begun.

        Again:  another run; with the same `cause` the same one, as it is now.
        Raises: BrokerUnavailable, TooLarge, also where the run could keep nothing beside its params.
        """
        run_id, at_ms = ids.run_id(cause, start.workflow) if cause else str(uuid7()), _now_ms()
        if cause and (known := await self.started(start.tenant, start.workflow, cause)) is not None:
            return known
        run = fresh(run_id, start, at_ms)
        written = encode(run)
        if len(written) > RUN_BYTES:
            raise TooLarge(RUN_BYTES)
        event = signal_event(start.tenant, run_id, run_id, start, at_ms, start.correlation_id)
        await self._sender.send(event)
        await self._show(run, written)
        return run

    async def started(self, tenant: str, workflow: str, cause: str) -> Run | None:
        """Give the run of a workflow that a cause has started; where nobody can say so now, a second start changes nothing."""
        try:
            return await self.find(tenant, ids.run_id(cause, workflow))
        except (NotFound, ViewUnavailable):
            return None

    async def signal(self, tenant: str, run_id: str, signal: Signal) -> Run:
        """
        Send a signal to a run, and give the run as it was before.

        Raises: NotFound where the tenant has no such run; BrokerUnavailable, TooLarge, ViewUnavailable.
        """
        run = await self.find(tenant, run_id)
        await self._sender.send(signal_event(tenant, run_id, str(uuid7()), signal, _now_ms(), run.correlation_id))
        return run

    async def find(self, tenant: str, run_id: str) -> Run:
        """Look a run up. Raises: NotFound, ViewUnavailable."""
        try:
            return decode(await kept(self._pipe, self._keys, tenant, RUNS, run_id))
        except NotFound:
            raise NotFound("There is no run of this id.") from None

    async def _show(self, run: Run, written: bytes) -> None:
        """Let look-ups find a run that no worker has come to; without Redis they find it once one has."""
        fact: tuple[Any, ...] = operations.kept(self._keys, RUNS, run.tenant, run.id, 0, written)
        try:
            await self._pipe.script(script("project"), (self._keys.epoch, self._keys.passed), fact)
        except ViewUnavailable:
            return


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
