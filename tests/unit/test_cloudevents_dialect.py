# SPDX-License-Identifier: Apache-2.0
"""The native door's pure parts: the handshake, the queries of look-ups, drafts, and how an event's state is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bridge.claims.state import Change, Claim, State
from bridge.domain.errors import NotAllowed
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, ResultRef, Status
from bridge.domain.limits import Window
from bridge.domain.receipt import Draft, Receipt
from bridge.domain.view import EventSummary, EventView
from web.dialects.cloudevents import handshake, translate, wire
from web.http.faults import InvalidRequest

ORIGIN = {"webhook-request-origin": "Shop.example"}
MINUTE = (Window(120, 60),)
CORE = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.paid"}
PLACE = Position("bridge.events", 3, 17)
SUMMARY = EventSummary(
    key="k1",
    tenant="demo",
    id="7",
    source="/shop",
    type="order.paid",
    subject="",
    time="",
    content_type="application/json",
    correlation_id="c1",
    causation_id="",
    hops=0,
    accepted_ms=1_767_225_600_123,
    size=9,
)
DONE = Execution(
    execution_id="x1",
    event_key="k1",
    tenant="demo",
    correlation_id="c1",
    event_id="7",
    event_source="/shop",
    event_type="order.paid",
    process="record",
    version="1.0.0",
    status=Status.COMPLETED,
    attempt=1,
    received_ms=1_767_225_600_123,
    started_ms=1_767_225_600_200,
    finished_ms=1_767_225_600_250,
    event_position=PLACE,
    data='{"n": 12345678901234567890123}',
    results=(ResultRef("r1", "order.recorded", "bridge.results.record", 3, 4),),
)


@pytest.mark.parametrize("allowed", ["shop.example", "other.example, SHOP.example", "*", "a,*"])
def test_an_allowed_origin_gets_consent_and_the_real_rate(allowed: str) -> None:
    headers = handshake.consent({**ORIGIN, "webhook-request-rate": "100000"}, allowed, MINUTE)
    assert dict(headers) == {"webhook-allowed-origin": "Shop.example", "webhook-allowed-rate": "120"}


@pytest.mark.parametrize(
    ("headers", "allowed"), [(ORIGIN, ""), (ORIGIN, "other.example"), (ORIGIN, "shop.example.org"), ({}, "*"), ({}, ",")]
)
def test_nobody_else_gets_any(headers: dict[str, str], allowed: str) -> None:
    assert handshake.consent(headers, allowed, MINUTE) == ()


@pytest.mark.parametrize("rate", ["0", "-1", "1.5", "", "*", "x", "9" * 19])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(InvalidRequest):
        handshake.consent({**ORIGIN, "webhook-request-rate": rate}, "*", MINUTE)


@pytest.mark.parametrize(
    ("windows", "rate"),
    [
        ([Window(10, 1)], "600"),
        ([Window(10, 1), Window(6000, 3600)], "100"),
        ([Window(1, 86_400)], "1"),
        ([], "*"),
    ],
)
def test_the_rate_is_the_tightest_windows_per_minute(windows: list[Window], rate: str) -> None:
    assert handshake.rate(windows) == rate


def test_queries_are_read() -> None:
    assert wire.read_query("", by_id=False) == wire.Query()
    assert wire.read_query("wait=2.5", by_id=False) == wire.Query(wait_s=2.5)
    assert wire.read_query("id=a%26b&source=%2Fshop%3Fx%3D1&wait=30", by_id=True) == wire.Query("/shop?x=1", "a&b", 30.0)


@pytest.mark.parametrize(
    ("query", "by_id", "pointers"),
    [
        ("", True, ["query:source", "query:id"]),
        ("source=&id=7", True, ["query:source"]),
        ("source=/a&source=/b&id=%00", True, ["query:source", "query:id"]),
        ("wait=31", False, ["query:wait"]),
        ("wait=-1", False, ["query:wait"]),
        ("wait=1e1", False, ["query:wait"]),
        ("wait=", False, ["query:wait"]),
        ("wait=nan&what=1", False, ["query:wait", "query:what"]),
        ("source=/a", False, ["query:source"]),
        ("id=%ff", True, ["query:"]),
        ("&".join("wait=1" for _ in range(100)), False, ["query:"]),
    ],
)
def test_every_fault_of_a_query_is_named(query: str, by_id: bool, pointers: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wire.read_query(query, by_id=by_id)
    assert [fault.pointer for fault in refused.value.faults] == pointers


def test_a_correlation_id_needs_the_scope_and_leaves_the_attributes() -> None:
    event = Event({**CORE, "correlationid": "mine"}, b"1")
    assert translate.drafts([event], may_correlate=True) == [Draft(CORE, b"1", correlation_id="mine")]
    with pytest.raises(NotAllowed, match="correlation:set"):
        translate.drafts([Event(CORE), event], may_correlate=False)
    assert translate.drafts([Event(CORE, b"1")], may_correlate=False) == [Draft(CORE, b"1")]


def test_a_repetition_gets_the_same_bytes() -> None:
    first = Receipt("k1", "c1", "order.paid", 1_767_225_600_123)
    shown = [wire.write(translate.receipt(one, Draft(CORE))) for one in (first, first._replace(duplicate=True))]
    assert shown[0] == shown[1]
    assert json.loads(shown[0]) == {
        "key": "k1",
        "correlationid": "c1",
        "type": "order.paid",
        "source": "/shop",
        "id": "7",
        "accepted_at": "2026-01-01T00:00:00.123Z",
    }


def test_an_event_is_shown_with_all_that_became_of_it() -> None:
    shown = wire.write(translate.event(EventView(SUMMARY, PLACE, True, (DONE,))))
    assert b'"data":{"n": 12345678901234567890123}' in shown
    document = json.loads(shown)
    (execution,) = document.pop("executions")
    assert document == {
        "key": "k1",
        "correlationid": "c1",
        "status": "completed",
        "settled": True,
        "accepted_at": "2026-01-01T00:00:00.123Z",
        "attributes": {**CORE, "datacontenttype": "application/json"},
        "size": 9,
        "position": {"topic": "bridge.events", "partition": 3, "offset": 17},
        "transactions": [],
    }
    del execution["data"]
    assert execution == {
        "execution_id": "x1",
        "process": "record",
        "version": "1.0.0",
        "status": "completed",
        "attempts": 1,
        "started_at": "2026-01-01T00:00:00.200Z",
        "finished_at": "2026-01-01T00:00:00.250Z",
        "due_at": None,
        "replayed_from": None,
        "reason": "",
        "results": [{"id": "r1", "type": "order.recorded", "topic": "bridge.results.record", "partition": 3, "offset": 4}],
    }


def test_an_execution_that_waits_for_its_next_attempt_says_why_and_until_when() -> None:
    due = DONE.started_ms + 5000
    waiting = replace(DONE, status=Status.PENDING, attempt=2, finished_ms=None, reason="exception: no", due_ms=due, results=())
    document = json.loads(wire.write(translate.event(EventView(SUMMARY, PLACE, True, (waiting,)))))
    (execution,) = document["executions"]
    shown = {name: execution[name] for name in ("status", "attempts", "reason", "due_at", "finished_at")}
    assert shown == {
        "status": "pending",
        "attempts": 2,
        "reason": "exception: no",
        "due_at": "2026-01-01T00:00:05.200Z",
        "finished_at": None,
    }
    assert document["settled"] is False


def test_a_replay_names_the_execution_that_it_repeats() -> None:
    shown = wire.write(translate.event(EventView(SUMMARY, PLACE, True, (replace(DONE, replayed_from="x0"),))))
    assert json.loads(shown)["executions"][0]["replayed_from"] == "x0"


def test_claims_are_shown_beside_executions() -> None:
    held = Claim((Change(State.CREATED, 0, "0123456789ab"), Change(State.PROCESSING, 1000, "0123456789ab")), 61_000)
    done = Claim((Change(State.CREATED, 0, "0123456789ab"), Change(State.FAILED, 2000, "0123456789ab")))
    document = json.loads(wire.write(translate.event(EventView(SUMMARY, PLACE, True, ()), {"b": done, "a": held})))
    moment = "1970-01-01T00:0{}:0{}.000Z".format
    began = moment(0, 0)
    assert document["transactions"] == [
        {"tx_key": "a", "state": "processing", "began_at": began, "changed_at": moment(0, 1), "until": moment(1, 1)},
        {"tx_key": "b", "state": "failed", "began_at": began, "changed_at": moment(0, 2), "until": None},
    ]


def test_an_expected_execution_has_not_begun() -> None:
    waiting = replace(DONE, status=Status.PENDING, attempt=0, started_ms=0, finished_ms=None, data="null", results=())
    document = json.loads(wire.write(translate.event(EventView(SUMMARY, None, False, (waiting,)))))
    assert document["position"] is None
    assert document["settled"] is False
    shown = document["executions"][0]
    assert (shown["status"], shown["attempts"], shown["started_at"], shown["finished_at"], shown["data"]) == (
        "pending",
        0,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("routed", "statuses", "status"),
    [
        (False, [], Status.PENDING),
        (False, [Status.PENDING], Status.PENDING),
        (False, [Status.COMPLETED], Status.IN_PROGRESS),
        (True, [Status.PENDING, Status.PENDING], Status.PENDING),
        (True, [Status.IN_PROGRESS], Status.IN_PROGRESS),
        (True, [Status.COMPLETED, Status.PENDING], Status.IN_PROGRESS),
        (True, [Status.COMPLETED, Status.FAILED, Status.SKIPPED], Status.FAILED),
        (True, [Status.COMPLETED, Status.SKIPPED], Status.COMPLETED),
        (True, [Status.SKIPPED], Status.SKIPPED),
        (True, [], Status.SKIPPED),
    ],
)
def test_one_status_sums_an_event_up(routed: bool, statuses: list[Status], status: Status) -> None:
    executions = tuple(replace(DONE, status=one) for one in statuses)
    assert translate.overall(EventView(SUMMARY, PLACE, routed, executions)) == status
