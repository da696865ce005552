# SPDX-License-Identifier: Apache-2.0
"""
Which redeliveries Kafka has already: what makes a run that was killed go on where it stopped, and never send one twice.

The log of redeliveries itself is asked, so nothing has to be noted beside it and nothing can be forgotten.
"""

from __future__ import annotations

import uuid
from typing import Any

from bridge.domain.ids import execution_id
from bridge.kafka.lanes import unfinished
from bridge.kafka.scan import Scan
from bridge.redeliveries import ATTEMPT, EXECUTION, PROCESS
from bridge.settings import Settings
from bridge.topics import REDELIVERIES


def name_of(execution_id: str) -> bytes:
    """Give an execution's id in 16 bytes, as it is remembered in large numbers. Raises: ValueError where it is not one."""
    return uuid.UUID(execution_id).bytes


def sent(settings: Settings, since_ms: int) -> dict[bytes, bytes]:
    """
    Give the executions that a redelivery since `since_ms` begins, each with the event's first one in that process.

    Shape:  0.2 kB each; a retry goes on with an execution, so only first attempts count.
    Raises: BrokerUnavailable, Misconfigured.
    """
    return _begun(Scan(settings, (REDELIVERIES,), since_ms or None))


def in_lanes(settings: Settings) -> dict[bytes, bytes]:
    """Give the executions that own lanes have yet to begin: as `sent` does, and it raises the same."""
    return _begun(Scan(settings, (), within=unfinished(settings)))


def _begun(scan: Scan) -> dict[bytes, bytes]:
    found = {}
    with scan:
        while not scan.done:
            for message in scan.read(500, 0.2):
                headers: dict[str, Any] = dict(message.headers() or ())
                if headers.get(ATTEMPT) == b"1":
                    try:
                        event_key, process, begun = (headers[name].decode() for name in ("ce_eventkey", PROCESS, EXECUTION))
                        found[name_of(begun)] = name_of(execution_id(event_key, process))
                    except (KeyError, ValueError):  # not ours: the worker has set it aside as undecodable
                        continue
    return found
