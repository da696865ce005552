# SPDX-License-Identifier: Apache-2.0
"""
The shapes of the native door's answers and queries. The shape of its events is `bridge.cloudevents.http`'s.

Answers are written once, here; a member that has nothing to say is null or an empty list, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec

from bridge.cloudevents import attributes
from bridge.domain.errors import Fault
from web.http.faults import InvalidRequest

LONGEST_WAIT_S = 30
_SECONDS = re.compile(r"[0-9]{1,2}(\.[0-9]{1,6})?")
_MOST_FIELDS = 16

write = msgspec.json.Encoder().encode


class Receipt(msgspec.Struct, frozen=True):
    """One accepted event. `accepted_at` is the time of its record in Kafka."""

    key: str
    correlationid: str
    type: str
    source: str
    id: str
    accepted_at: str


class Place(msgspec.Struct, frozen=True):
    """Where a record lies in Kafka."""

    topic: str
    partition: int
    offset: int


class Result(msgspec.Struct, frozen=True):
    """A result that an execution published, and where it lies."""

    id: str
    type: str
    topic: str
    partition: int
    offset: int


class Execution(msgspec.Struct, frozen=True):
    """
    One process's work on the event. `attempts` is 0 while it is only expected; `data` is what the process saved.

    A pending execution with a reason has failed `attempts` times and is tried again at `due_at`. One that a replay began names
    the execution that it repeats in `replayed_from`.
    """

    execution_id: str
    process: str
    version: str
    status: str
    attempts: int
    started_at: str | None
    finished_at: str | None
    due_at: str | None
    replayed_from: str | None
    reason: str
    data: msgspec.Raw
    results: tuple[Result, ...]


class Transaction(msgspec.Struct, frozen=True):
    """A claim of the event by a consumer of the Buildable dialect; `until` is when a held one is given back."""

    tx_key: str
    state: str
    began_at: str
    changed_at: str
    until: str | None


class Event(msgspec.Struct, frozen=True):
    """What became of an event. `settled` says that no execution of it will change any more."""

    key: str
    correlationid: str
    status: str
    settled: bool
    accepted_at: str
    attributes: dict[str, str]
    size: int
    position: Place | None
    executions: tuple[Execution, ...]
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What a look-up asks for; `source` and `id` are empty where the path names the event."""

    source: str = ""
    id: str = ""
    wait_s: float = 0.0


def read_query(raw: str, *, by_id: bool) -> Query:
    """
    Read the query of a look-up: `wait`, and with `by_id` also `source` and `id`.

    Raises: InvalidRequest with every fault.
    """
    try:
        fields = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except UnicodeDecodeError:
        raise InvalidRequest(Fault("query:", "is not percent-encoded UTF-8")) from None
    except ValueError:
        raise InvalidRequest(Fault("query:", f"has more than {_MOST_FIELDS} parameters")) from None
    wanted = ("source", "id") if by_id else ()
    faults = [Fault(f"query:{name}", detail) for name, detail in _query_faults(fields, wanted)]
    if faults:
        raise InvalidRequest(*faults)
    given = dict(fields)
    return Query(given.get("source", ""), given.get("id", ""), float(given.get("wait", "0")))


def _query_faults(fields: Sequence[tuple[str, str]], wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for name, value in fields:
        if name not in (*wanted, "wait"):
            yield name, "is not known here"
        elif name in seen:
            yield name, "is given twice"
        elif name == "wait":
            if not _SECONDS.fullmatch(value) or float(value) > LONGEST_WAIT_S:
                yield name, f"must be a number of seconds from 0 to {LONGEST_WAIT_S}"
        elif fault := "must not be empty" if not value else attributes.text_fault(value):
            yield name, fault
        seen.add(name)
    for name in wanted:
        if name not in seen:
            yield name, "is required"
