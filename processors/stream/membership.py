# SPDX-License-Identifier: Apache-2.0
"""
Notice that another worker took our place in the group: two workers with one `EVB_WORKER_SLOT`.

aiokafka heartbeats without the instance id, so the broker tells the older of the two "unknown member"; aiokafka would then
silently join again and expel the other in turn. `processors.stream.batches` calls `watch` once the consumer has started.
"""

from __future__ import annotations

import time
from typing import Any

from aiokafka import errors

from processors.ending import doubt

FENCED_INSTANCE_ID = 82
"""Kafka's error code for a static member that was replaced; aiokafka knows no name for it."""


def watch(consumer: Any, slot: str) -> None:
    """Look at every answer of the group's coordinator; end the process where it says that we are out."""
    coordinator = consumer._coordinator
    send, session_s = coordinator._send_req, coordinator._session_timeout_ms / 1000
    last_heard = time.monotonic()

    async def watched(request: Any) -> Any:
        nonlocal last_heard
        answer = await send(request)
        kind = type(request).__name__
        code = getattr(answer, "error_code", 0)
        if code == FENCED_INSTANCE_ID:
            _taken(slot)
        if kind.startswith("Heartbeat"):
            if code == errors.UnknownMemberIdError.errno:
                if time.monotonic() - last_heard < session_s:
                    _taken(slot)
                doubt("the broker expelled this worker, which was silent for longer than its session", slot=slot)
            if code == 0:
                last_heard = time.monotonic()
        return answer

    coordinator._send_req = watched


def _taken(slot: str) -> None:
    doubt(
        f"the worker slot {slot!r} is taken: another worker runs with it. Give every worker its own EVB_WORKER_SLOT",
        slot=slot,
    )
