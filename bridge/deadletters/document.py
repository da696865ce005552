# SPDX-License-Identifier: Apache-2.0
"""Dead letters as documents: what `evb dlq --json` prints and `/api/v1/deadletters` answers. Pure."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from bridge.deadletters.letter import REPLAYED_AS, REPLAYED_AT, REPLAYS, Letter
from bridge.domain.moments import iso


def summary(letter: Letter) -> dict[str, Any]:
    """Say what a list shows; texts are empty and times null where the record does not say them."""
    return {
        "key": letter.key,
        "tenant": letter.tenant,
        "type": letter.text("ce_type"),
        "source": letter.text("ce_source"),
        "id": letter.text("ce_id"),
        "event_key": letter.text("ce_eventkey"),
        "process": letter.process,
        "version": letter.text("dl_version"),
        "code": letter.code,
        "reason": letter.text("dl_reason"),
        "attempts": letter.number("dl_attempts"),
        "worker": letter.text("dl_worker"),
        "received_at": _time(letter.number("dl_received")),
        "died_at": iso(letter.died_ms),
        "position": asdict(letter.position),
        "size": len(letter.data),
        "replays": letter.number(REPLAYS),
        "replayed_as": letter.text(REPLAYED_AS) or None,
        "replayed_at": _time(letter.number(REPLAYED_AT)),
    }


def whole(letter: Letter) -> dict[str, Any]:
    """
    Say everything: the summary, every attempt, and the event as its record has it.

    Shape: `data` is text where it is UTF-8 (`data_encoding` `text`), else base64 (`base64`), as is each header's value.
    """
    tries = [
        {"attempt": one.attempt, "started_at": iso(one.started_ms), "ended_at": iso(one.ended_ms), "reason": one.reason}
        for one in letter.tries
    ]
    headers = [{"name": name, **_encoded("value", value)} for name, value in letter.own_headers()]
    return summary(letter) | {"tries": tries, "headers": headers} | _encoded("data", letter.data)


def _encoded(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:  # a header may have none; the data of an event without any is empty
        return {name: None, f"{name}_encoding": None}
    try:
        return {name: value.decode(), f"{name}_encoding": "text"}
    except UnicodeDecodeError:
        return {name: base64.b64encode(value).decode(), f"{name}_encoding": "base64"}


def _time(ms: int) -> str | None:
    return iso(ms) if ms else None
