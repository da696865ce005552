# SPDX-License-Identifier: Apache-2.0
"""What an outcome publishes: results and emitted events, checked, bounded, serialised and named. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from bridge.cloudevents.attributes import text_fault
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.limits import ATTRIBUTE_CHARS, DATA_BYTES, OUTPUTS, RESULT_BYTES
from bridge.domain.moments import iso
from bridge.sdk import AwaitJourneys, Completed, Emit, Result

if TYPE_CHECKING:  # a child process turns outcomes into bytes with what is here, and needs no Kafka
    from bridge.kafka.producer import Headers


class Unpublishable(Exception):
    """An outcome that cannot be published; `code` is one of invalid-outcome, result-too-large, not-serialisable."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Output(msgspec.Struct, frozen=True):
    """
    One record that an outcome asks for; `event` is set for an emitted event and None for a result.

    `topic` is where it goes otherwise, the name without the installation's prefix; `partition` -1 is that of its key.
    """

    id: str
    type: str
    key: bytes
    headers: Headers
    value: bytes
    event: Event | None = None
    topic: str = ""
    partition: int = -1


@dataclass(frozen=True, slots=True)
class Made(Completed):
    """An outcome of a process of our own, which makes its records itself."""

    outputs: tuple[Output, ...] = ()


class Cause(msgspec.Struct, frozen=True):
    """
    The execution that outputs come from, and the event that it handles.

    `first` is the number of its first result: what a process publishes after its journeys is not what it did before.
    """

    event: Event
    process: str
    execution_id: str
    now_ms: int
    first: int = 0


def kept(value: Any) -> bytes:
    """Give the JSON that is kept with an execution. Raises: Unpublishable."""
    raw = b"null" if value is None else _json(value, "data")
    if len(raw) > DATA_BYTES:
        raise Unpublishable("result-too-large", f"data has {len(raw)} bytes of JSON; at most {DATA_BYTES} are kept")
    return raw


def outputs_of(outcome: Completed | AwaitJourneys, cause: Cause) -> list[Output]:
    """Make everything that an outcome publishes, complete before any of it is sent. Raises: Unpublishable."""
    if isinstance(outcome, Made):
        return [*outcome.outputs]
    results, emits = listed(outcome)
    made = [_result(result, cause, index) for index, result in enumerate(results)]
    made += [_emit(emit, cause, index) for index, emit in enumerate(emits)]
    return made


def listed(outcome: Completed | AwaitJourneys) -> tuple[Sequence[Any], Sequence[Any]]:
    """Give the results and the emitted events. Raises: Unpublishable where they are no lists, or too many."""
    results, emits = outcome.results or (), getattr(outcome, "emits", ()) or ()
    if not isinstance(results, (list, tuple)) or not isinstance(emits, (list, tuple)):
        raise Unpublishable("invalid-outcome", "results and emits are lists")
    if len(results) + len(emits) > OUTPUTS:
        raise Unpublishable("result-too-large", f"{len(results) + len(emits)} results and emits; at most {OUTPUTS} are published")
    return results, emits


def _result(result: Any, cause: Cause, index: int) -> Output:
    attributes, value = _described(result, Result, cause, f"results[{index}]")
    attributes["id"] = ids.result_id(cause.execution_id, cause.first + index)
    given = cause.event.attributes
    key = given.get("partitionkey") or cause.event.key
    return Output(attributes["id"], result.type, key.encode(), headers_of(Event(attributes)), value)


def _emit(emit: Any, cause: Cause, index: int) -> Output:
    where = f"emits[{index}]"
    attributes, value = _described(emit, Emit, cause, where)
    attributes["id"] = attributes["eventkey"] = ids.emitted_key(cause.execution_id, cause.first + index)
    attributes["hops"] = str(cause.event.hops + 1)
    if emit.partition_key:
        attributes["partitionkey"] = _text(emit.partition_key, f"{where}.partition_key")
    event = Event(attributes, value)
    return Output(event.id, emit.type, record_key(event), headers_of(event), value, event)


def _described(thing: Any, kind: type[Result | Emit], cause: Cause, where: str) -> tuple[dict[str, str], bytes]:
    """Give the attributes that results and emitted events share, without their id, and the bytes of the data."""
    value = value_of(thing, kind, where)
    attributes = {
        "specversion": "1.0",
        "id": "",
        "source": f"/processes/{cause.process}",
        "type": _text(thing.type, f"{where}.type"),
        "time": iso(cause.now_ms),
        "tenantid": cause.event.tenant,
        "correlationid": cause.event.correlation_id or cause.event.key,
        "causationid": cause.execution_id,
    }
    if replayed := cause.event.attributes.get("replayedfrom"):
        attributes["replayedfrom"] = replayed
    if thing.subject:
        attributes["subject"] = _text(thing.subject, f"{where}.subject")
    if thing.content_type:
        attributes["datacontenttype"] = _text(thing.content_type, f"{where}.content_type")
    if len(value) > RESULT_BYTES:
        raise Unpublishable("result-too-large", f"{where} has {len(value)} bytes; at most {RESULT_BYTES} are published")
    return attributes, value


def value_of(thing: Any, kind: type[Result | Emit], where: str) -> bytes:
    """Give the bytes of a result's or an emitted event's data. Raises: Unpublishable, also where it is neither."""
    if not isinstance(thing, kind):
        raise Unpublishable("invalid-outcome", f"{where} is {thing!r:.100}, not {'a Result' if kind is Result else 'an Emit'}")
    return bytes(thing.data) if isinstance(thing.data, (bytes, bytearray, memoryview)) else _json(thing.data, where)


def _text(value: Any, where: str) -> str:
    fault = text_fault(value) if isinstance(value, str) and value else "must be a text that is not empty"
    if not fault and len(value) > ATTRIBUTE_CHARS:
        fault = f"is longer than {ATTRIBUTE_CHARS} characters"
    if fault:
        raise Unpublishable("invalid-outcome", f"{where} {fault}")
    text: str = value
    return text


def _json(value: Any, where: str) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError, RecursionError) as err:
        raise Unpublishable("not-serialisable", f"{where} cannot be written as JSON: {err}") from err
