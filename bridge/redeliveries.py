# SPDX-License-Identifier: Apache-2.0
"""
Redeliveries as Kafka records: the event's own headers and bytes, and one `rd_*` header for each thing that travels with it.

The worker writes them for retries, replays write them, the movers read when one is due, the worker reads them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.redelivery import Journey, Redelivery, Try

Headers = list[tuple[str, bytes]]
T = TypeVar("T")

PREFIX = "rd_"
DUE, ATTEMPT, EXECUTION, PROCESS = "rd_due", "rd_attempt", "rd_execution", "rd_process"
_TRIES = msgspec.json.Decoder(tuple[Try, ...])
_JOURNEYS = msgspec.json.Decoder(tuple[Journey, ...])
_ENCODER = msgspec.json.Encoder()
_NUMBERS = ("attempt", "due", "partition", "offset", "received", "first_failed", "belated", "awaited")
_TEXTS = ("process", "execution", "topic", "reason", "replayed_from")


def headers_of(own: Iterable[tuple[str, bytes]], redelivery: Redelivery) -> Headers:
    """Give the headers of the record: the event's own first, without those of an earlier redelivery."""
    given = redelivery
    fields: list[tuple[str, str | int]] = [
        ("process", given.process),
        ("execution", given.execution_id),
        ("attempt", given.attempt),
        ("due", given.due_ms),
        ("first_failed", given.first_failed_ms),
        ("reason", given.reason),
        ("topic", given.topic),
        ("partition", given.partition),
        ("offset", given.offset),
        ("received", given.received_ms),
        ("belated", int(given.belated)),
        ("replayed_from", given.replayed_from),
        ("awaited", given.awaited),
    ]
    headers = own_headers(own)
    headers += [(PREFIX + name, str(value).encode()) for name, value in fields]
    headers.append((PREFIX + "tries", _ENCODER.encode(given.tries)))
    return headers + journeys_header(given.journeys)


def journeys_header(journeys: Sequence[Journey]) -> Headers:
    """Give the header that tells how journeys have ended; none without any."""
    return [(PREFIX + "journeys", _ENCODER.encode(journeys))] if journeys else []


def own_headers(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """Give the headers that the event's own record has."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]


def redelivery_of(headers: Sequence[tuple[str, bytes]] | None) -> Redelivery:
    """Read what travels with a redelivered event. Raises: InvalidEvent naming every header that is wrong."""
    found = {name.removeprefix(PREFIX): value for name, value in headers or () if name.startswith(PREFIX)}
    found = {"awaited": b"0", "belated": b"1" if found.get("replayed_from") else b"0"} | found  # as older records mean it
    faults: list[Fault] = []
    texts = {name: _text(found, name, faults) for name in _TEXTS}
    numbers = {name: _number(found, name, faults) for name in _NUMBERS}
    tries = _list(_TRIES, found, "tries", faults)
    journeys = _list(_JOURNEYS, found, "journeys", faults)
    faults += [Fault(f"header:rd_{name}", "is empty") for name in ("process", "execution", "topic") if not texts[name]]
    if faults:
        raise InvalidEvent(*faults)
    return Redelivery(
        process=texts["process"],
        execution_id=texts["execution"],
        attempt=numbers["attempt"],
        due_ms=numbers["due"],
        topic=texts["topic"],
        partition=numbers["partition"],
        offset=numbers["offset"],
        received_ms=numbers["received"],
        first_failed_ms=numbers["first_failed"],
        reason=texts["reason"],
        tries=tries,
        belated=numbers["belated"] == 1,
        replayed_from=texts["replayed_from"],
        journeys=journeys,
        awaited=numbers["awaited"],
    )


def is_one(headers: Sequence[tuple[str, bytes]] | None) -> bool:
    """Say whether a record is given again to a process."""
    return any(name == PREFIX + "process" for name, _ in headers or ())


def due_of(headers: Sequence[tuple[str, bytes]] | None) -> int:
    """Say when a record is due, in milliseconds; 0 where it does not say: the worker will then tell what is wrong with it."""
    return next((int(value) for name, value in headers or () if name == DUE and value.isdigit()), 0)


def whose(headers: Sequence[tuple[str, bytes]] | None) -> tuple[str, str]:
    """Give the tenant and the process of a record; empty texts where it does not say."""
    found = dict(headers or ())
    tenant, process = found.get("ce_tenantid") or b"", found.get(PREFIX + "process") or b""
    return tenant.decode(errors="replace"), process.decode(errors="replace")


def _list(decoder: msgspec.json.Decoder[tuple[T, ...]], found: dict[str, bytes], name: str, faults: list[Fault]) -> tuple[T, ...]:
    try:
        return decoder.decode(found.get(name) or b"[]")
    except ValueError as err:
        faults.append(Fault(f"header:rd_{name}", f"is not a list of {name}: {err}"))
        return ()


def _text(found: dict[str, bytes], name: str, faults: list[Fault]) -> str:
    try:
        return (found.get(name) or b"").decode()
    except UnicodeDecodeError as err:
        faults.append(Fault(f"header:rd_{name}", f"is not UTF-8 at byte {err.start}"))
        return ""


def _number(found: dict[str, bytes], name: str, faults: list[Fault]) -> int:
    value = found.get(name) or b""
    if value.isdigit() and len(value) < 16:
        return int(value)
    faults.append(Fault(f"header:rd_{name}", "must be a whole number"))
    return 0
