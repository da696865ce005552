# SPDX-License-Identifier: Apache-2.0
"""What became of the events of a span of time, process by process, as `bridge.executions` says it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from bridge.domain.execution import Status
from bridge.domain.ids import execution_id
from bridge.kafka.scan import Scan
from bridge.replay.asked import Asked
from bridge.replay.sent import name_of
from bridge.settings import Settings
from bridge.topics import EXECUTIONS


class Fate(IntEnum):
    """The end of the newest execution of an event in a process; `WAITING` has none yet."""

    WAITING = 0
    FAILED = 1
    DONE = 2


FATES: Final = {Status.FAILED: Fate.FAILED, Status.COMPLETED: Fate.DONE, Status.SKIPPED: Fate.DONE}


class _Said(msgspec.Struct):
    execution_id: str
    event_key: str
    tenant: str
    event_type: str
    process: str
    status: Status
    received_ms: int
    replayed_from: str = ""


_DECODER = msgspec.json.Decoder(_Said)


def histories(settings: Settings, asked: Asked, begun: dict[bytes, bytes]) -> dict[bytes, Fate]:
    """
    Give the fate of every event that is meant in every process that had it, by the event's first execution there.

    Shape:  0.15 kB each. A replay's fate counts as the event's; one in `begun` that has no record yet is waiting.
    Order:  `begun` must have been read before: what is handled in between is then seen here.
    Raises: BrokerUnavailable, Misconfigured.
    """
    found: dict[bytes, Fate] = {}
    begun = dict(begun)
    with Scan(settings, (EXECUTIONS,), asked.since_ms) as scan:
        while not scan.done:
            for message in scan.read(500, 0.2):
                try:
                    said = _DECODER.decode(message.value() or b"")
                    name = name_of(said.execution_id)
                except ValueError:  # a tombstone, or nothing of ours: the rebuild counts these
                    continue
                begun.pop(name, None)
                if asked.process in ("", said.process) and asked.meant(said.tenant, said.event_type, said.received_ms):
                    first = name_of(execution_id(said.event_key, said.process)) if said.replayed_from else name
                    found[first] = FATES.get(said.status, Fate.WAITING)
    for first in begun.values():
        found[first] = Fate.WAITING
    return found
