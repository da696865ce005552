# SPDX-License-Identifier: Apache-2.0
"""Where a failed attempt waits, by the policy of its process; and whom a child process convicts of having ended a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bridge.domain.execution import Status
from bridge.domain.retry import longest_s, tiers
from processors.attempts.retrying import RETRIED, Retries
from processors.outcomes.verdicts import failed

TIERS = tiers("5s,30s,5m,30m,2h")
RETRIES = Retries(TIERS)
SECONDS = {one.label: one for one in TIERS}


def waits(policy: tuple[str, ...] | None, code: str = "exception", after_s: float | None = None) -> list[str]:
    """Name the tier after each attempt, until one is the last."""
    process: Any = SimpleNamespace(retry=policy)
    verdict, found = msgspec.structs.replace(failed(code, "why"), after_s=after_s), list[str]()
    while (appealed := RETRIES.appeal(verdict, process, "an-execution", len(found) + 1, 1_000)).status is Status.PENDING:
        assert appealed.wait is not None
        label = appealed.wait.topic.removeprefix("retries.")
        assert 1000 * SECONDS[label].seconds <= appealed.wait.due_ms - 1_000 <= 1000 * longest_s(SECONDS[label])
        assert (appealed.code, appealed.reason) == (code, "why")
        found.append(label)
    assert appealed == verdict
    return found


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, ["5s", "30s", "5m", "30m", "2h"]),
        ((), []),
        (("30m",), ["30m"]),
        (("2h", "5s", "5s"), ["2h", "5s", "5s"]),
    ],
    ids=["all unless it says so", "none", "one", "in its own order"],
)
def test_a_process_waits_in_the_tiers_of_its_policy(policy: tuple[str, ...] | None, expected: list[str]) -> None:
    assert waits(policy) == expected


@pytest.mark.parametrize(("after_s", "tier"), [(0, "5s"), (6, "30s"), (301, "30m"), (99_999, "2h")])
def test_a_wait_of_its_own_is_rounded_up_and_costs_an_attempt(after_s: float, tier: str) -> None:
    assert waits(("5s", "5s"), "retry-later", after_s) == [tier, tier]


def test_what_another_attempt_cannot_cure_ends_at_once() -> None:
    assert {code: waits(None, code) for code in ("bad-order", "crashed-worker", "result-too-large", "invalid-outcome")} == {
        "bad-order": [],
        "crashed-worker": [],
        "result-too-large": [],
        "invalid-outcome": [],
    }
    assert all(waits(("5s",), code) == ["5s"] for code in RETRIED)
