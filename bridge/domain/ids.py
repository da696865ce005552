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

_quote = json.encoder.encode_basestring
"""A text as JSON writes it without escaping what is not ASCII."""

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def _uuid5(*parts: str | int) -> str:
    return _named(f"[{','.join(_quote(part) if isinstance(part, str) else str(part) for part in parts)}]")


def _named(array: str) -> str:
    """Give the UUIDv5 of a JSON array's text."""
    text = hashlib.sha1(NAMESPACE + array.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def event_key(
    tenant: str, source: str, event_id: str, event_type: str, content_type: str, data: bytes, partition_key: str = ""
) -> str:
    """
    Name an event whose producer gave it an id.

    The digest of what it says is part of the name: the same id with other content is another event, never dropped. So is the
    key that it is put in order by: two records of one event in two partitions would be handled by two workers.
    """
    content = hashlib.sha256(f"{event_type}\n{content_type}\n".encode("utf-8", "surrogatepass"))
    content.update(data)
    order = f",{_quote(partition_key)}" if partition_key else ""
    return _named(f'[{_quote(tenant)},{_quote(source)},{_quote(event_id)},"{content.hexdigest()}"{order}]')


def emitted_key(execution: str, index: int) -> str:
    """Name the event that an execution emits as its `index`-th (from 0)."""
    return _uuid5(execution, "emit", index)


def execution_id(event_key: str, process: str, replay: str = "") -> str:
    """Name one event's run through one process; a replay is an execution of its own."""
    return _uuid5(event_key, process, replay)


def letter_replay(letter: str, replays: int) -> str:
    """Name the replay of a dead letter (by its key) that was replayed `replays` times before."""
    return _uuid5(letter, "replay", replays)


def replay_plan(*asked: str | int) -> str:
    """Name a replay by what is asked for: the same question has the same name, and so is never answered twice."""
    return f"plan-{_uuid5('plan', *asked)[:13]}"


def event_replay(plan: str, topic: str, partition: int, offset: int) -> str:
    """Name the replay of the event at a position, within the plan that repeats it."""
    return _uuid5(plan, topic, partition, offset)


def transaction_id(event_key: str, tx_key: str, began_ms: int) -> str:
    """Name a holder's claim of an event; whoever claims it after that holder has another one."""
    return _uuid5(event_key, "transaction", tx_key, began_ms)


def notice_id(execution: str) -> str:
    """Name the notice of an execution's outcome."""
    return _uuid5(execution, "outcome")


def ended_key(execution: str) -> str:
    """Name the signal that tells a run of an execution's end."""
    return _uuid5(execution, "ended")


def timer_key(run: str, due_ms: int) -> str:
    """Name the signal that a run gets when it is due."""
    return _uuid5(run, "timer", due_ms)


def delivery_key(notice: str, webhook: str) -> str:
    """Name the delivery of a notice to a webhook."""
    return _uuid5(notice, "webhook", webhook)


def result_id(execution: str, index: int) -> str:
    """Name the `index`-th result (from 0) of an execution."""
    return _uuid5(execution, index)


def run_id(cause: str, workflow: str) -> str:
    """Name the run of a workflow that something starts: an event by its key, a schedule by its name and time."""
    return _uuid5(cause, "run", workflow)


def task_id(run: str, task: str, attempt: int) -> str:
    """Name what one attempt of a run's task does: the event that it gives to a process or emits, or the run that it starts."""
    return _uuid5(run, "task", task, attempt)
