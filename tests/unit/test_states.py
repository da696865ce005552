# SPDX-License-Identifier: Apache-2.0
"""What a worker knows of a state's keys: which version comes next, and who may not be passed over."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from processors.attempts.states import States
from processors.stream.outbox import Record
from processors.tables.kept import Kept, Mark


def states(known: Kept | None, sent: list[Record]) -> States:
    kept: defaultdict[int, dict[bytes, Kept]] = defaultdict(dict)
    if known is not None:
        kept[3][b"t/k"] = known
    settings: Any = SimpleNamespace(topic_prefix="x")
    tables: Any = {"stock": SimpleNamespace(kept=kept)}
    outbox: Any = SimpleNamespace(send=lambda record, _: sent.append(record))
    nothing: Any = None
    return States(settings, tables, outbox, nothing)


def attempt(number: int = 1, *, offset: int = 5, ended: bool = False) -> Any:
    record = SimpleNamespace(offset=offset, timestamp=1000, partition=3)
    given = SimpleNamespace(record=record, redelivery=None)
    process, lane = SimpleNamespace(state="stock"), SimpleNamespace(key=b"t/k")
    return SimpleNamespace(given=given, process=process, lane=lane, execution_id="x1", number=number, journeys_ended=ended)


@pytest.mark.parametrize(("known", "key"), [(None, b"t/k/1001"), (Kept(version=7), b"t/k/8")])
def test_a_key_that_is_new_or_was_forgotten_begins_above_what_it_may_have_had(known: Kept | None, key: bytes) -> None:
    sent: list[Record] = []
    states(known, sent).write(attempt(), b"1", b"{}", lambda: None)
    assert [record.key for record in sent] == [key]


@pytest.mark.parametrize(("number", "applied"), [(1, True), (2, True), (3, False)])
def test_an_attempt_was_applied_if_it_or_a_later_one_of_its_execution_was(number: int, applied: bool) -> None:
    known = Kept(version=1, applied=5, stored_ms=1000, marks=(Mark("x1", 0, replay=False, attempt=2),))
    assert states(known, []).applied(attempt(number)) is applied


@pytest.mark.parametrize(("ended", "applied"), [(False, True), (True, False)])
def test_a_message_whose_journeys_have_ended_is_not_passed_over_because_a_later_event_was_applied(
    ended: bool, applied: bool
) -> None:
    known = Kept(version=1, applied=9, stored_ms=2000)
    assert states(known, []).applied(attempt(2, ended=ended)) is applied
