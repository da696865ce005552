# SPDX-License-Identifier: Apache-2.0
"""
From what a process returned to what the worker publishes: checked, bounded, serialised, named. Pure.

A `Verdict` is complete before anything is sent, so that an outcome which cannot be published fails as a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from bridge.cloudevents.attributes import text_fault
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.domain.limits import DATA_BYTES, OUTPUTS, REASON_BYTES, RESULT_BYTES
from bridge.sdk import Completed, Emit, Rejected, Result, RetryLater, Skipped

if TYPE_CHECKING:  # a child process turns outcomes into bytes with what is here, and needs no Kafka
    from bridge.kafka.producer import Headers

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Unpublishable(Exception):
    """An outcome that cannot be published; `code` is one of invalid-outcome, result-too-large, not-serialisable."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Failure:
    """Without an outcome: `exception`, `timeout`, `crashed`, `out-of-memory`, `invalid-config`, or what `Unpublishable` says."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Output:
    """One record that an outcome asks for; `event` is set for an emitted event and None for a result."""

    id: str
    type: str
    key: bytes
    headers: Headers
    value: bytes
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """
    Where an execution waits for its next attempt, and until when.

    `topic` is the topic's name without the installation's prefix; `due_ms` is 0 where there is no time.
    """

    topic: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What becomes of an execution; `code` is empty unless its attempt failed.

    `after_s` is how long the process itself wants to wait, `wait` what was granted: only a pending execution has it.
    """

    status: Status
    code: str = ""
    reason: str = ""
    data: str = "null"
    outputs: Sequence[Output] = ()
    after_s: float | None = None
    wait: Wait | None = None

    @property
    def said(self) -> str:
        """The code and the reason as one text."""
        return f"{self.code}: {self.reason}" if self.code else self.reason


@dataclass(frozen=True, slots=True)
class Cause:
    """The execution that outputs come from, and the event that it handles."""

    event: Event
    process: str
    execution_id: str
    now_ms: int


def judge(outcome: object, cause: Cause) -> Verdict:
    """Turn an outcome, or a failure, into a verdict; never raises for anything that a process can return."""
    try:
        return _judged(outcome, cause)
    except Exception as err:  # noqa: BLE001  the edge: an outcome holds objects of the process, and their code may raise
        return failed("invalid-outcome", f"run() returned a {type(outcome).__name__} that cannot be read: {said(err)}")


def convicted(outcome: object) -> object:
    """Judge what a suspect left in its child process: whoever ends that as well does not get another worker."""
    if isinstance(outcome, Failure) and outcome.code in ("crashed", "out-of-memory"):
        return Failure("crashed-worker", f"it ran each time the worker died, and then ended a child process: {outcome.reason}")
    return outcome


def said(err: BaseException) -> str:
    """Say what an exception says, its type first; only its type where its own text raises."""
    try:
        return f"{type(err).__name__}: {err}"
    except Exception:  # noqa: BLE001  the edge: it is a process's own class
        return type(err).__name__


def _judged(outcome: object, cause: Cause) -> Verdict:
    match outcome:
        case Completed():
            try:
                return Verdict(Status.COMPLETED, data=kept(outcome.data).decode(), outputs=_outputs(outcome, cause))
            except Unpublishable as err:
                return failed(err.code, err.reason)
        case Skipped():
            return Verdict(Status.SKIPPED, reason=cut(str(outcome.reason)))
        case RetryLater():
            return _later(outcome)
        case Rejected():
            code = outcome.code if isinstance(outcome.code, str) and CODE.fullmatch(outcome.code) else "rejected"
            return failed(code, str(outcome.reason))
        case Failure():
            return failed(outcome.code, outcome.reason)
    return failed("invalid-outcome", unfit(outcome))


def unfit(outcome: object) -> str:
    """Say of something that is no outcome what to return instead."""
    return f"run() returned {outcome!r:.200}; return Completed, Skipped, RetryLater or Rejected"


def _later(outcome: RetryLater) -> Verdict:
    after_s: Any = outcome.after_s
    if after_s is not None and not (isinstance(after_s, (int, float)) and 0 <= after_s < math.inf):
        return failed("invalid-outcome", f"RetryLater.after_s is {after_s!r:.40}; give seconds, or None")
    return Verdict(Status.FAILED, "retry-later", cut(str(outcome.reason)), after_s=after_s)


def failed(code: str, reason: str) -> Verdict:
    """Give the verdict of a failed execution."""
    return Verdict(Status.FAILED, code, cut(reason))


def cut(text: str, most: int = REASON_BYTES) -> str:
    """Bound a text to `most` bytes of UTF-8, at a character's border."""
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"


def kept(value: Any) -> bytes:
    """Give the JSON that is kept with an execution. Raises: Unpublishable."""
    raw = b"null" if value is None else _json(value, "data")
    if len(raw) > DATA_BYTES:
        raise Unpublishable("result-too-large", f"data has {len(raw)} bytes of JSON; at most {DATA_BYTES} are kept")
    return raw


def _outputs(outcome: Completed, cause: Cause) -> list[Output]:
    results, emits = listed(outcome)
    made = [_result(result, cause, index) for index, result in enumerate(results)]
    made += [_emit(emit, cause, index) for index, emit in enumerate(emits)]
    return made


def listed(outcome: Completed) -> tuple[Sequence[Any], Sequence[Any]]:
    """Give the results and the emitted events. Raises: Unpublishable where they are no lists, or too many."""
    results, emits = outcome.results or (), outcome.emits or ()
    if not isinstance(results, (list, tuple)) or not isinstance(emits, (list, tuple)):
        raise Unpublishable("invalid-outcome", "results and emits are lists")
    if len(results) + len(emits) > OUTPUTS:
        raise Unpublishable("result-too-large", f"{len(results) + len(emits)} results and emits; at most {OUTPUTS} are published")
    return results, emits


def _result(result: Any, cause: Cause, index: int) -> Output:
    attributes, value = _described(result, Result, cause, f"results[{index}]")
    attributes["id"] = ids.result_id(cause.execution_id, index)
    given = cause.event.attributes
    key = given.get("partitionkey") or cause.event.key
    return Output(attributes["id"], result.type, key.encode(), headers_of(Event(attributes)), value)


def _emit(emit: Any, cause: Cause, index: int) -> Output:
    where = f"emits[{index}]"
    attributes, value = _described(emit, Emit, cause, where)
    attributes["id"] = attributes["eventkey"] = ids.emitted_key(cause.execution_id, index)
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
    size = len(value) + sum(len(text) for text in attributes.values())
    if size > RESULT_BYTES:
        raise Unpublishable("result-too-large", f"{where} has {size} bytes; at most {RESULT_BYTES} are published")
    return attributes, value


def value_of(thing: Any, kind: type[Result | Emit], where: str) -> bytes:
    """Give the bytes of a result's or an emitted event's data. Raises: Unpublishable, also where it is neither."""
    if not isinstance(thing, kind):
        raise Unpublishable("invalid-outcome", f"{where} is {thing!r:.100}, not {'a Result' if kind is Result else 'an Emit'}")
    return bytes(thing.data) if isinstance(thing.data, (bytes, bytearray, memoryview)) else _json(thing.data, where)


def _text(value: Any, where: str) -> str:
    fault = text_fault(value) if isinstance(value, str) and value else "must be a text that is not empty"
    if fault:
        raise Unpublishable("invalid-outcome", f"{where} {fault}")
    text: str = value
    return text


def _json(value: Any, where: str) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError, RecursionError) as err:
        raise Unpublishable("not-serialisable", f"{where} cannot be written as JSON: {err}") from err


def iso(ms: int) -> str:
    """Give a time in milliseconds as RFC 3339 text."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
