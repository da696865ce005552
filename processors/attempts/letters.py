# SPDX-License-Identifier: Apache-2.0
"""Dead letters: the original record, untouched, with headers that say why it was set aside. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bridge.domain.limits import REASON_BYTES
from bridge.domain.redelivery import Try
from processors.outcomes.verdicts import cut
from processors.stream.outbox import Record

_ENCODER = msgspec.json.Encoder()


def letter(
    record: Any,
    topic: str,
    *,
    code: str,
    reason: str,
    worker: str,
    key: str = "",
    process: str = "",
    version: str = "",
    attempts: int = 0,
    tries: Sequence[Try] = (),
) -> Record:
    """
    Set a record aside.

    Shape: `key` is the execution id, or empty: then the record's position names the letter. The record's own headers come first,
    its bytes are the value. `tries` are the attempts that were made, with their times and reasons.
    """
    position = f"{record.topic}/{record.partition}/{record.offset}"
    headers = list(record.headers or ())
    headers += [
        ("dl_code", code.encode()),
        ("dl_reason", cut(reason, REASON_BYTES).encode()),
        ("dl_process", process.encode()),
        ("dl_version", version.encode()),
        ("dl_attempts", b"%d" % attempts),
        ("dl_tries", _ENCODER.encode(tries)),
        ("dl_worker", worker.encode()),
        ("dl_topic", record.topic.encode()),
        ("dl_partition", b"%d" % record.partition),
        ("dl_offset", b"%d" % record.offset),
        ("dl_received", b"%d" % record.timestamp),
        ("dl_key", record.key or b""),
    ]
    return Record(topic, (key or position).encode(), record.value or b"", headers, record.partition)
