# SPDX-License-Identifier: Apache-2.0
"""
Outcomes as bytes: what a child process answers, and what its worker reads.

The worker believes nothing but the form: it builds outcomes of plain texts and bytes, and judges them as it judges any other.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import orjson

from bridge.domain.limits import ANSWER_BYTES
from bridge.sdk import AwaitJourneys, Completed, Emit, Rejected, Result, RetryLater, Skipped
from processors.outcomes.outputs import Unpublishable, kept, listed, value_of
from processors.outcomes.verdicts import Failure, cut, said, unfit


class _Part(msgspec.Struct, array_like=True):
    """A result or an emitted event; its data is bytes already."""

    type: str
    data: bytes
    subject: str
    content_type: str
    partition_key: str = ""


class _Answer(msgspec.Struct, array_like=True):
    kind: Literal["completed", "await-journeys", "skipped", "retry-later", "rejected", "failure"]
    code: str = ""
    reason: str = ""
    after_s: float | None = None
    data: bytes = b"null"
    results: list[_Part] = []
    emits: list[_Part] = []


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Answer)


def encode(outcome: object) -> bytes:
    """Write an outcome or a failure; what cannot be written, or is too large, becomes the failure that says so."""
    try:
        answer = _ENCODER.encode(_answer(outcome))
    except Unpublishable as err:
        return _failure(err.code, err.reason)
    except MemoryError:
        raise
    except Exception as err:  # noqa: BLE001  the edge: an outcome holds objects of the process, and their code may raise
        return _failure("invalid-outcome", f"run() returned a {type(outcome).__name__} that cannot be read: {said(err)}")
    if len(answer) > ANSWER_BYTES:
        reason = f"the outcome has {len(answer)} bytes in all; at most {ANSWER_BYTES} leave a child process"
        return _failure("result-too-large", reason)
    return answer


def decode(value: bytes) -> object:
    """Read an outcome or a failure; bytes that are neither are the failure `invalid-outcome`."""
    try:
        return _outcome(_DECODER.decode(value))
    except ValueError as err:  # msgspec's and orjson's errors are ones
        return Failure("invalid-outcome", f"run() returned an outcome that cannot be read: {err}")


def _failure(code: str, reason: str) -> bytes:
    return _ENCODER.encode(_Answer("failure", code, cut(reason)))


def _answer(outcome: object) -> _Answer:
    match outcome:
        case Completed():
            results, emits = listed(outcome)
            return _Answer(
                "completed",
                data=kept(outcome.data),
                results=[_part(one, Result, f"results[{n}]") for n, one in enumerate(results)],
                emits=[_part(one, Emit, f"emits[{n}]") for n, one in enumerate(emits)],
            )
        case AwaitJourneys():
            results, _ = listed(outcome)
            parts = [_part(one, Result, f"results[{n}]") for n, one in enumerate(results)]
            return _Answer("await-journeys", data=kept(outcome.data), results=parts)
        case Skipped():
            return _Answer("skipped", reason=cut(str(outcome.reason)))
        case RetryLater():
            return _Answer("retry-later", reason=cut(str(outcome.reason)), after_s=outcome.after_s)
        case Rejected():
            return _Answer("rejected", outcome.code if isinstance(outcome.code, str) else "", cut(str(outcome.reason)))
        case Failure():
            return _Answer("failure", outcome.code, cut(outcome.reason))
    raise Unpublishable("invalid-outcome", unfit(outcome))


def _part(thing: Any, kind: type[Result | Emit], where: str) -> _Part:
    value = value_of(thing, kind, where)
    key = thing.partition_key or "" if isinstance(thing, Emit) else ""
    return _Part(thing.type, value, thing.subject or "", thing.content_type or "", key)


def _outcome(answer: _Answer) -> object:
    match answer.kind:
        case "completed":
            return Completed(
                orjson.loads(answer.data),
                [_result(one) for one in answer.results],
                [Emit(one.type, one.data, one.subject, one.partition_key, one.content_type) for one in answer.emits],
            )
        case "await-journeys":
            return AwaitJourneys(orjson.loads(answer.data), [_result(one) for one in answer.results])
        case "skipped":
            return Skipped(answer.reason)
        case "retry-later":
            return RetryLater(answer.reason, answer.after_s)
        case "rejected":
            return Rejected(answer.code, answer.reason)
    return Failure(answer.code, answer.reason)


def _result(part: _Part) -> Result:
    return Result(part.type, part.data, part.subject, part.content_type)
