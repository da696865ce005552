# SPDX-License-Identifier: Apache-2.0
"""Triggers: the order of checks with Flow's codes, conditions, patterns in linear time, and clocks that are put on or back."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import InvalidWorkflow
from bridge.workflows import paths, schedules
from bridge.workflows.conditions import Condition
from bridge.workflows.document import TriggerName, Workflow
from bridge.workflows.patterns import full_match, size
from bridge.workflows.reading import check
from bridge.workflows.triggers import Quota, refusal

EVENT = {
    "type": "order.created",
    "source": "/shop",
    "data": {"amount": 5, "express": True, "lines": [{"sku": "a b"}], "none": None},
}


def workflow(**triggers: Any) -> Workflow:
    task = {"name": "nap", "type": "sleep", "params": {"duration": 1}}
    return check({"name": "w", "tasks": [task], "triggers": triggers})


def test_the_order_of_checks() -> None:
    full = Quota("concurrent runs", 5, 5)
    conditions = [{"field": "$.type", "operation": "equals", "value": "order.created"}]
    open_ = workflow(event={"enabled": True, "conditions": conditions})
    for given_, facts, quota, code in (
        (None, EVENT, full, 1201),
        (workflow(), EVENT, full, 1305),
        (open_, {"type": "other"}, full, 1305),
        (open_, EVENT, full, 1020),
    ):
        found = refusal(given_, "event", facts, quota)
        assert found is not None
        assert found.code == code
    assert refusal(open_, "event", EVENT, Quota("concurrent runs", 4, 5)) is None
    found = refusal(open_, "event", EVENT, full)
    assert found is not None
    assert (found.status, found.message) == (429, "A quota has been exceeded. concurrent runs: 5 / 5")


def test_only_by_hand_is_on_by_default() -> None:
    assert [name for name in get_args(TriggerName) if not refusal(workflow(), name, {})] == ["manual"]
    found = refusal(workflow(manual={"enabled": False}), "manual", {})
    assert found is not None
    assert (found.code, found.reason, found.status) == (1305, "WORKFLOWRUN_TRIGGER_DISABLED", 400)


@pytest.mark.parametrize(
    ("field", "operation", "wanted", "holds"),
    [
        ("$.type", "equals", "order.created", True),
        ("$.type", "equals", "order", False),
        ("$.type", "matches", "order", False),
        ("$.type", "matches", r"order\..*", True),
        ("$.type", "matches", "x|order.created", True),
        ("$.type", "in", ["a", "order.created"], True),
        ("$.type", "in", [], False),
        ("$.data.amount", "equals", "5", True),
        ("$['data']['express']", "equals", "true", True),
        ('$.data.lines[0]["sku"]', "equals", "a b", True),
        ("$.data.lines[-1].sku", "matches", "a.b", True),
        ("$.data.lines[1].sku", "matches", ".*", False),
        ("$.data.none", "matches", ".*", False),
        ("$.data.none", "equals", "null", False),
        ("$.data.lines", "matches", "(?s).*", False),
        ("$.nothing.there", "matches", ".*", False),
        ("$.type.length", "matches", ".*", False),
    ],
)
def test_conditions(field: str, operation: str, wanted: Any, holds: bool) -> None:
    member = "values" if operation == "in" else "value"
    condition = {"field": field, "operation": operation, member: wanted}
    found = refusal(workflow(event={"enabled": True, "conditions": [condition]}), "event", EVENT)
    assert (found is None) == holds


def test_all_conditions_must_hold() -> None:
    conditions = [{"field": "$.type", "operation": "matches", "value": v} for v in (".*", "no")]
    assert refusal(workflow(event={"enabled": True, "conditions": conditions}), "event", EVENT) is not None


@pytest.mark.parametrize(
    "text", ["", "type", "$type", "$.", "$..a", "$.*", "$[*]", "$[0:1]", "$[?@.a]", "$['a'", "$.a b", "$[01]"]
)
def test_what_is_no_path_to_one_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (JSONPath|step)"):
        paths.parse(text)


@given(st.lists(st.text() | st.integers(-3, 3), max_size=5), st.text())
def test_a_path_finds_what_was_put_there(steps: list[str | int], leaf: str) -> None:
    value: Any = leaf
    for step in reversed(steps):
        value = {step: value} if isinstance(step, str) else [value] * 4
    quoted = ["['" + s.replace("\\", "\\\\").replace("'", "\\'") + "']" if isinstance(s, str) else f"[{s}]" for s in steps]
    assert paths.look_up(paths.parse("$" + "".join(quoted)), value) == leaf


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)(.*)x", "(?:.{1,90}){90}b"])
def test_no_pattern_hangs(pattern: str) -> None:
    fits = full_match(pattern)
    began = time.perf_counter()
    assert not fits("a" * 1024)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("pattern", ["(?=x)", r"(a)\1", "a)|(b", "(", r"(\w{50}){20}", "(?x)a # c", "a" * 257])
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|regular"):
        full_match(pattern)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("refs/heads/(main|release-.*)", 26),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}", 18),
        (r"(?:.{0,50}a){20}", 1060),
        (r"((a{2}){3,}b{4,5}){10}", 110),
        (r"[^]a{9}]\{2\}\p{Lu}{3}", 7),
        (r"a{b}", 4),
        ("", 0),
    ],
)
def test_the_size_of_a_pattern_is_that_with_its_repetitions_written_out(pattern: str, wanted: int) -> None:
    assert size(pattern) == wanted


@given(st.text(st.sampled_from("a(){}[]\\|*+?{2,3}^$.-5"), max_size=30))
def test_the_size_of_anything_can_be_told(pattern: str) -> None:
    assert size(pattern) >= 0


def test_patterns_that_would_hold_a_server_up_are_refused() -> None:
    slow = {"field": "$.a", "operation": "matches", "value": r"(?:[^x]{0,90}){0,90}\bz|.*"}
    many = [{"field": "$.a", "operation": "matches", "value": "a" * 251}] * 2
    for conditions in ([slow], many):
        with pytest.raises(InvalidWorkflow, match="repetitions written out; the limit is 500"):
            workflow(event={"enabled": True, "conditions": conditions})


def test_a_pattern_is_for_the_whole_text() -> None:
    assert [full_match("ab")(text) for text in ("ab", "ab\n", "xab", "abx")] == [True, False, False, False]
    assert not full_match("(?s).*")("a" * 1025)
    assert Condition.model_validate_json('{"field":"$","operation":"matches","value":"(?i)A"}').holds("a")


def due(cron: str, zone: str, start: tuple[int, ...], count: int) -> list[str]:
    there = ZoneInfo(zone)
    ms, found = round(datetime(*start, tzinfo=there).timestamp() * 1000), []  # type: ignore[misc,arg-type]
    for _ in range(count):
        ms = schedules.next_due_ms(cron, zone, ms)
        found.append(datetime.fromtimestamp(ms / 1000, there).isoformat()[5:].replace(":00+", "+"))
    return found


def test_schedules_when_the_clock_is_put_on() -> None:
    assert due("30 2 * * *", "Europe/Berlin", (2026, 3, 28, 12), 2) == ["03-29T03:30+02:00", "03-30T02:30+02:00"]
    assert due("0 9 * * 1-5", "Europe/Berlin", (2026, 3, 27, 12), 2) == ["03-30T09:00+02:00", "03-31T09:00+02:00"]
    assert due("*/30 * * * *", "Europe/Berlin", (2026, 3, 29, 1), 3) == [
        "03-29T01:30+01:00",
        "03-29T03:00+02:00",
        "03-29T03:30+02:00",
    ]


def test_schedules_when_the_clock_is_put_back() -> None:
    assert due("30 2 * * *", "Europe/Berlin", (2026, 10, 24, 12), 2) == ["10-25T02:30+02:00", "10-26T02:30+01:00"]
    assert due("0 * * * *", "Europe/Berlin", (2026, 10, 25, 1), 3) == [
        "10-25T02:00+02:00",
        "10-25T02:00+01:00",
        "10-25T03:00+01:00",
    ]


@given(st.sampled_from(["*/7 * * * *", "5 */2 * * *", "15 1,2,3 * * *"]), st.integers(0, 365 * 24 * 3600))
def test_a_schedule_goes_on_and_agrees_with_itself(cron: str, second: int) -> None:
    after = 1_767_225_600_000 + second * 1000
    first = schedules.next_due_ms(cron, "America/New_York", after)
    assert after < first <= after + 26 * 3600 * 1000
    assert schedules.next_due_ms(cron, "America/New_York", first - 1) == first
    assert schedules.next_due_ms(cron, "America/New_York", (after + first) // 2) == first


CRONS = ["0 0 31 2 *", "* * * *", "* * * * * *", "R * * * *", "@daily", "61 * * * *", "*/0 * * * *"]


@pytest.mark.parametrize("cron", CRONS)
def test_expressions_that_are_refused(cron: str) -> None:
    assert "not an expression of five fields" in schedules.fault(cron, "UTC")


@pytest.mark.parametrize("zone", ["../x", "Europe", "", "Mars/Crater"])
def test_zones_that_are_refused(zone: str) -> None:
    assert "is not a time zone" in schedules.fault("* * * * *", zone)
