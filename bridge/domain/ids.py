# SPDX-License-Identifier: Apache-2.0
"""
How every id is made (design: the same input gives the same id, so a repetition is recognised everywhere).

All are lower-case UUID texts. Named ones are UUIDv5 under one fixed namespace over a canonical JSON array, so that no two
different inputs share a text.
"""

from __future__ import annotations

import hashlib
import json
import uuid

NAMESPACE = uuid.UUID("6f1d3c5e-2b7a-5d94-9c0e-4a8b7e21d3f6").bytes
"""Fixed for ever: changing it would make every known event unknown."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # made once: json.dumps would make one per call


def _uuid5(parts: list[str | int]) -> str:
    name = _encode(parts).encode("utf-8", "surrogatepass")
    digest = bytearray(hashlib.sha1(NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def event_key(tenant: str, source: str, event_id: str, event_type: str, content_type: str, data: bytes) -> str:
    """
    Name an event whose producer gave it an id.

    The digest of what it says is part of the name: the same id with other content is another event, never dropped.
    """
    content = hashlib.sha256(f"{event_type}\n{content_type}\n".encode("utf-8", "surrogatepass"))
    content.update(data)
    return _uuid5([tenant, source, event_id, content.hexdigest()])


def emitted_key(execution: str, index: int) -> str:
    """Name the event that an execution emits as its `index`-th (from 0)."""
    return _uuid5([execution, "emit", index])


def execution_id(event_key: str, process: str, replay: str = "") -> str:
    """Name one event's run through one process; a replay is an execution of its own."""
    return _uuid5([event_key, process, replay])


def result_id(execution: str, index: int) -> str:
    """Name the `index`-th result (from 0) of an execution."""
    return _uuid5([execution, index])
