# SPDX-License-Identifier: Apache-2.0
"""What a process may publish at most, and that every event which a door takes can be published whole."""

from __future__ import annotations

import pytest

from bridge.domain.execution import Status
from bridge.domain.limits import ATTRIBUTE_CHARS, MOST_BODY_BYTES
from bridge.sdk import Completed, Emit, Result
from bridge.sdk.testing import event, run
from plugins.record import Record
from processors.outcomes.outputs import Cause
from processors.outcomes.verdicts import judge

CAUSE = Cause(event("t.a"), "p", "x", 1)


async def test_the_largest_event_with_the_longest_subject_is_recorded() -> None:
    largest = event("t.a", b"x" * MOST_BODY_BYTES, subject="s" * ATTRIBUTE_CHARS)
    verdict = judge(await run(Record(), largest), Cause(largest, "record", "x", 1))
    assert (verdict.status, verdict.reason) == (Status.COMPLETED, "")


@pytest.mark.parametrize(
    ("one", "code", "reason"),
    [
        (Result("t", b"x" * (MOST_BODY_BYTES + 1)), "result-too-large", "results[0] has 5242881 bytes; at most 5242880 are"),
        (Result("t", b"", subject="s" * 8193), "invalid-outcome", "results[0].subject is longer than 8192 characters"),
        (Emit("t" * 8193, b""), "invalid-outcome", "emits[0].type is longer than 8192 characters"),
    ],
)
def test_more_is_not(one: Result | Emit, code: str, reason: str) -> None:
    verdict = judge(Completed(**{"results" if isinstance(one, Result) else "emits": [one]}), CAUSE)
    assert (verdict.status, verdict.code) == (Status.FAILED, code)
    assert verdict.reason.startswith(reason)
