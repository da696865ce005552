# SPDX-License-Identifier: Apache-2.0
"""How FX requests become drafts and executions become FX results."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bridge.cloudevents import syntax
from bridge.domain.errors import InvalidEvent
from bridge.domain.execution import Execution, Position, Status
from web.dialects.fx import translate, wire

ORIGIN = translate.Origin("018f0000-0000-7000-8000-000000000001", "2026-01-31T12:00:00.000Z", "github-acme", "", False)
TRUSTED = dataclasses.replace(ORIGIN, may_correlate=True)
DONE = Execution(
    execution_id="e1",
    event_key="k1",
    tenant="demo",
    correlation_id="c1",
    event_id="i1",
    event_source="s",
    event_type="t",
    process="record",
    version="1.0.0",
    status=Status.COMPLETED,
    attempt=1,
    received_ms=1_769_860_800_000,
    started_ms=1_769_860_800_100,
    finished_ms=1_769_860_801_350,
    event_position=Position("bridge.events", 0, 7),
    data='{"big":12345678901234567890}',
)


def pointers(raised: pytest.ExceptionInfo[InvalidEvent]) -> set[str]:
    return {fault.pointer for fault in raised.value.faults}


def test_a_submitted_event_keeps_what_the_producer_said() -> None:
    draft = translate.submitted(wire.EventRequest("/shop/1", "order.created", b'{"a": 1}'), [], ORIGIN)
    assert draft.born
    assert draft.data == b'{"a": 1}'
    assert draft.attributes == {
        "specversion": "1.0",
        "id": ORIGIN.event_id,
        "source": "/shop/1",
        "type": "order.created",
        "time": ORIGIN.time,
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("order service", "order%20service"),
        ("https://shop.example/a?b=c#d", "https://shop.example/a?b=c#d"),
        ("100%", "100%25"),
        ("Bücher", "B%C3%BCcher"),
        ("1:2", "1%3A2"),
        ("a#b#c", "a%23b%23c"),
    ],
)
def test_any_event_source_becomes_a_uri_reference(given: str, source: str) -> None:
    assert translate.source_of(given) == source
    assert not syntax.uri_reference_fault(source)


def test_a_correlation_id_counts_only_from_a_caller_who_may_choose_it() -> None:
    request = wire.EventRequest("s", "t", b'{"_fxcid": "mine"}')
    assert translate.submitted(request, [], ORIGIN).correlation_id == ""
    assert translate.submitted(request, [], TRUSTED).correlation_id == "mine"


@pytest.mark.parametrize("value", ["7", '""', '"a/b"', '"."', '".."', '"\\u0000"', json.dumps("x" * 257), "null"])
def test_a_wrong_correlation_id_is_refused_from_who_may_and_ignored_from_who_may_not(value: str) -> None:
    request = wire.EventRequest("s", "t", f'{{"_fxcid": {value}}}'.encode())
    assert translate.submitted(request, [], ORIGIN).correlation_id == ""
    with pytest.raises(InvalidEvent) as raised:
        translate.submitted(request, [], TRUSTED)
    assert pointers(raised) == {"/payload/_fxcid"}


def test_faults_of_the_shape_and_of_what_is_said_in_it_are_named_together() -> None:
    body = {"event_source": 5, "event_type": "x" * 9000, "payload": {"_fxcid": 7}}
    with pytest.raises(InvalidEvent) as raised:
        translate.submitted(*wire.read_event(json.dumps(body).encode()), TRUSTED)
    assert pointers(raised) == {"/event_source", "/event_type", "/payload/_fxcid"}


@pytest.mark.parametrize(
    ("body", "default", "event_type"),
    [
        (b'{"event_type":"a.b","type":"c"}', "d", "a.b"),
        (b'{"event_type":7,"type":"c"}', "d", "c"),
        (b'{"type":{"c":1}}', "d", "d"),
        (b"[1,2]", "d", "d"),
    ],
)
def test_the_type_of_a_generic_event(body: bytes, default: str, event_type: str) -> None:
    draft = translate.generic(body, dataclasses.replace(ORIGIN, event_type=default))
    assert (draft.attributes["type"], draft.attributes["source"], draft.data) == (event_type, "github-acme", body)


def test_a_generic_event_without_any_type_is_refused_with_its_other_faults() -> None:
    with pytest.raises(InvalidEvent) as raised:
        translate.generic(b'{"_fxcid": 1}', TRUSTED)
    assert pointers(raised) == {"/event_type", "/_fxcid"}


def test_githubs_headers_give_type_id_and_order() -> None:
    draft = translate.webhook(b'{"repository":{"full_name":"acme/shop"}}', "push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", ORIGIN)
    assert not draft.born
    assert draft.attributes["type"] == "github.push"
    assert draft.attributes["id"] == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert draft.attributes["partitionkey"] == "acme/shop"


def test_an_organizations_webhook_is_ordered_by_the_organization() -> None:
    draft = translate.webhook(b'{"repository": null, "organization":{"login":"acme"}}', "member", None, ORIGIN)
    assert draft.attributes["partitionkey"] == "acme"
    assert draft.born


def test_a_name_that_is_no_name_orders_nothing() -> None:
    draft = translate.webhook(json.dumps({"repository": {"full_name": "x" * 9000}}).encode(), "push", "d", ORIGIN)
    assert "partitionkey" not in draft.attributes


def test_other_webhooks_have_the_sources_type_or_the_common_one() -> None:
    configured = dataclasses.replace(ORIGIN, event_type="pay.done")
    assert translate.webhook(b"1", None, None, ORIGIN).attributes["type"] == "webhook.received"
    assert translate.webhook(b"1", None, None, configured).attributes["type"] == "pay.done"


def test_odd_github_headers_are_refused_together() -> None:
    with pytest.raises(InvalidEvent) as raised:
        translate.webhook(b"{}", "pu sh", "x" * 129, ORIGIN)
    assert pointers(raised) == {"header:x-github-event", "header:x-github-delivery"}


def test_an_execution_result_has_every_member() -> None:
    assert json.loads(wire.write(translate.execution_result(DONE))) == {
        "data": {"big": 12345678901234567890},
        "datetime": "2026-01-31T12:00:00.100Z",
        "execution_id": "e1",
        "execution_time": 1.25,
        "service": "record",
        "status": "completed",
    }


def test_a_pending_execution_is_filled_too() -> None:
    pending = dataclasses.replace(DONE, status=Status.PENDING, attempt=0, started_ms=0, finished_ms=None, data="null")
    result = translate.execution_result(pending)
    assert (result["data"], result["execution_time"], result["status"]) == ({}, 0.0, "pending")
    assert result["datetime"] == "2026-01-31T12:00:00.000Z"


def test_a_failed_execution_says_why() -> None:
    failed = dataclasses.replace(DONE, status=Status.FAILED, data="null", reason="timeout: it took too long")
    assert translate.execution_result(failed)["data"] == {"reason": "timeout: it took too long"}


def test_nobody_can_pass_for_the_door_of_messages() -> None:
    with pytest.raises(InvalidEvent) as raised:
        translate.submitted(wire.EventRequest("/eventingress", "eventingress.a.b.c", b"{}"), [], ORIGIN)
    assert pointers(raised) == {"/event_source"}
