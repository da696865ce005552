# SPDX-License-Identifier: Apache-2.0
"""How the Event Ingress dialect reads bodies and writes models; nothing here needs Kafka or Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cloudevents import attributes
from bridge.cloudevents.percent import storable
from bridge.domain.errors import (
    BridgeError,
    BrokerUnavailable,
    InvalidEvent,
    NotAllowed,
    NotAuthenticated,
    TooLarge,
    TooManyRequests,
)
from bridge.domain.execution import Execution, Position, Status
from bridge.domain.view import EventSummary, EventView
from bridge.ingress.messages import Message, Place
from bridge.ingress.rows import Row
from bridge.registry.system_types import SHIPPED_PROCESSES, SYSTEM_TYPES
from bridge.registry.webhooks import Wish
from web.dialects.eventingress import failures, requests, token, translate, webhooks, wire

KEY = "01234567-89ab-7def-8123-456789abcdef"
ENTITY = "afa349d8-3dcd-4468-87db-020bdd4450b4"
Into = Callable[[wire.Reader], Any]


def send(given_: wire.Reader) -> requests.Sent:
    return requests.sent(given_, SYSTEM_TYPES.get)


def add(given_: wire.Reader) -> Any:
    return requests.event_type(given_, "acme", SHIPPED_PROCESSES)


def subscribe(given_: wire.Reader) -> Wish:
    return webhooks.wished(given_, (), new=True)


def sent(**members: Any) -> requests.Sent:
    return wire.read(json.dumps({"eventType": "externaldata", "eventSubtype": "createentity"} | members).encode(), send)


def faults(body: bytes | dict[str, Any], into: Into) -> dict[str, str]:
    with pytest.raises(InvalidEvent) as caught:
        wire.read(body if isinstance(body, bytes) else json.dumps(body).encode(), into)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"text"', b"{", b'{"a":NaN}', b"\xff", b'{"a":"\\ud800"}'])
def test_only_an_object_is_a_request(body: bytes) -> None:
    for into in (send, add, requests.filter_, subscribe):
        assert list(faults(body, into)) == [""]


def test_types_are_found_whatever_their_case_and_kept_in_lower_case() -> None:
    found = sent(eventType="ExternalData", eventSubtype="CreateEntity")
    assert (found.event_type, found.subtype) == ("externaldata", SYSTEM_TYPES["externaldata"].subtype("createentity"))


def test_nothing_is_null_or_left_out_and_the_payload_is_the_slice_that_was_sent() -> None:
    plain = sent(payload=None, entityId=None, source=None, correlationId="", priority=None)
    assert plain == sent()
    assert (plain.payload, plain.entity_id, plain.source, plain.correlation_id, plain.priority) == (b"", "", "", "", None)
    body = b'{ "eventType":"externaldata", "eventSubtype":"createentity", "payload" :  [1.10,1e400 ,"\\u00e9" ] }'
    assert wire.read(body, send).payload == b'[1.10,1e400 ,"\\u00e9" ]'


@pytest.mark.parametrize("payload", [0, False, "", [], {}, "text", 1.5])
def test_a_payload_is_any_json(payload: Any) -> None:
    assert json.loads(sent(payload=payload).payload) == payload


@pytest.mark.parametrize("missing", [None, ""])
def test_an_update_names_its_entity(missing: str | None) -> None:
    update = {"eventType": "externaldata", "eventSubtype": "offboarding", "entityId": missing}
    assert faults(update, send) == {"entityId": "is required for the business process updateentity"}
    assert wire.read(json.dumps(update | {"entityId": ENTITY.upper()}).encode(), send).entity_id == ENTITY


@pytest.mark.parametrize(
    ("member", "value", "fault"),
    [
        ("eventType", 7, "must be a text"),
        ("eventType", "nothing", "is no event type of this tenant"),
        ("eventType", "x" * 64, "is longer than 63 characters"),
        ("eventSubtype", "", "is required"),
        ("eventSubtype", "nothing", "is no subtype of externaldata"),
        ("entityId", f"{{{ENTITY}}}", "is longer than 36 characters"),
        ("entityId", ENTITY.replace("-", ""), "must be a UUID"),
        ("source", "x" * 257, "is longer than 256 characters"),
        ("correlationId", "x" * 513, "is longer than 512 characters"),
        ("priority", True, "must be a whole number"),
        ("priority", "1", "must be a whole number"),
        ("priority", 2**31, "must be -2147483648 to 2147483647"),
        ("priority", 2**80, "must be -2147483648 to 2147483647"),
        ("eventsubtype", "x", "is not known here"),
    ],
)
def test_what_is_wrong_with_a_member_is_said(member: str, value: Any, fault: str) -> None:
    body = {"eventType": "externaldata", "eventSubtype": "createentity", member: value}
    assert faults(body, send) == {member: fault}


def test_a_number_of_many_digits_is_refused_like_any_other() -> None:
    body = b'{"eventType":"externaldata","eventSubtype":"createentity","priority":' + b"9" * 5000 + b"}"
    assert list(faults(body, send)) == ["priority"]


def test_the_limits_are_those_of_the_document() -> None:
    assert sent(source="é" * 256, correlationId="🎉" * 512, priority=-(2**31)).priority == -(2**31)


WISH = {"name": "mine", "url": "https://example.com/hooks?a=b", "secret": "long enough", "eventTypes": ["a:b", "a:b", "c:d"]}


def test_a_webhook_is_read_with_what_it_leaves_out() -> None:
    plain = wire.read(json.dumps(WISH | {"status": "Enabled", "deliveries": [], "type": None}).encode(), subscribe)
    assert plain == Wish("mine", str(WISH["url"]), "long enough", ("a:b", "c:d"), enabled=True, addresses=(), batch=0)
    for size, most in ((None, 100), (10, 10), (100, 100)):
        assert wire.read(json.dumps(WISH | {"type": "Batch", "batchSize": size}).encode(), subscribe).batch == most


@pytest.mark.parametrize(
    ("member", "value", "fault"),
    [
        ("url", "https://user:word@example.com/", "cannot be used: the URL has a user or password in it"),
        ("url", "http://169.254.169.254/", "cannot be used: "),
        ("url", "gopher://example.com/", "cannot be used: the URL is not an http or https one"),
        ("secret", "short", "must have 8 characters at least"),
        ("secret", "whsec_%%%", "cannot be used: what follows whsec_ is not base64"),
        ("secret", "x" * 129, "is longer than 128 characters"),
        ("secret", None, "is required"),
        ("enabled", 1, "must be true or false"),
        ("eventTypes", [], "must have 1 to "),
        ("eventTypes", ["*", "a:b"], "has *, which means all of them, beside others"),
        ("eventTypes", ["a", 1], "must have texts only"),
        ("emailAddresses", ["a"] * 6, "must have 0 to 5 members"),
        ("type", "single", "must be Single or Batch"),
        ("batchSize", 9, "must be 10 to 100"),
        ("batchSize", 101, "must be 0 to 100"),
        ("odd", 1, "is not known here"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_said_without_its_secret(member: str, value: Any, fault: str) -> None:
    body = json.dumps(WISH | {"type": "Batch", member: value}).encode()
    ((name, said),) = faults(body, subscribe).items()
    assert (name, said[: len(fault)]) == (member, fault)
    with pytest.raises(InvalidEvent) as caught:
        wire.read(body, subscribe)
    attempted = json.loads(failures.answer_of(caught.value, "r").body)["data"][0]["attemptedValue"]
    assert attempted == (None if member == "secret" else value)


@pytest.mark.parametrize(
    ("pager", "fault"),
    [
        (None, {"pager": "is required"}),
        (7, {"pager": "must be an object"}),
        ({}, {"pager.first": "is required"}),
        ({"first": 0}, {"pager.first": "must be 1 to 100"}),
        ({"first": 1, "after": "%%%"}, {"pager.after": "is no nextToken of an answer"}),
        ({"first": 1, "after": "w4Q="}, {"pager.after": "is no nextToken of an answer"}),
        ({"first": 1, "after": "MTp4"}, {"pager.after": "is no nextToken of an answer"}),
    ],
)
def test_a_page_is_asked_for_with_its_size(pager: Any, fault: dict[str, str]) -> None:
    assert faults({"startDate": "2026-01-01", "endDate": "2026-01-02", "pager": pager}, requests.filter_) == fault


def test_a_time_ends_after_it_begins() -> None:
    times = {"startDate": "2026-01-02T00:00:00Z", "endDate": "2026-01-02T01:00:00+01:00", "pager": {"first": 1}}
    assert faults(times, requests.filter_) == {"endDate": "must be later than startDate"}


@given(st.integers(0, 10**15), st.uuids())
def test_a_token_says_where_a_page_ended(ms: int, key: object) -> None:
    place = Place(ms, str(key))
    body = {"startDate": "2026-01-01", "endDate": "2026-01-02", "pager": {"first": 1, "after": requests.token_of(place)}}
    assert wire.read(json.dumps(body).encode(), requests.filter_).after == place


MEMBERS = ["eventType", "eventSubtype", "entityId", "source", "correlationId", "payload", "priority", "key", "displayName"]
MEMBERS += ["eventSubtypes", "businessProcessType", "startDate", "endDate", "pager", "first", "after", "x", ""]
MEMBERS += ["name", "url", "secret", "enabled", "eventTypes", "emailAddresses", "type", "batchSize"]
ODD = [None, True, 0, -1, 2**70, 1.5, 1e300, "", " ", "externaldata", "createentity", ENTITY, "\0", "x" * 600, "2026-01-01"]
ODD += ["*", "Batch", "https://example.com/", "http://[::1]:0", "whsec_%%%", ["*"], ["a:b"], 10]
ODD += ["0000-00-00", "9999-12-31T23:59:59-23:59", "1-1-1"]
VALUES = st.recursive(
    st.sampled_from(ODD) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=8,
)
INTO = st.sampled_from([send, add, requests.filter_, subscribe])


def known_faults(body: bytes, into: Into) -> list[str]:
    """Read a body; gives the places of its faults, none where it was read, after writing them as an answer."""
    try:
        wire.read(body, into)
    except InvalidEvent as err:
        said = json.loads(failures.answer_of(err, "r").body)
        return [f"{one['propertyName']}{'' if one['errorMessage'] and one['errorCode'] else '?'}" for one in said["data"]]
    return []


@given(st.dictionaries(st.sampled_from(MEMBERS), VALUES), INTO)
def test_whatever_is_sent_is_read_or_its_faults_are_named_once_each(members: dict[str, Any], into: Into) -> None:
    found = known_faults(json.dumps(members, ensure_ascii=False).encode("utf-8", "surrogatepass"), into)
    assert len(found) == len(set(found))


@given(st.binary(), INTO)
def test_any_bytes_are_read_or_refused(body: bytes, into: Into) -> None:
    assert known_faults(body, into)


@given(st.text() | st.text("%41aA\n\x85\ufdd0"))
def test_an_attribute_holds_any_text(text: str) -> None:
    if text.isprintable() and text.isascii() and "%" not in text:
        assert storable(text) == text
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert not attributes.text_fault(storable(text))
        assert unquote(storable(text)) == text


ROW = Row("externaldata", "createentity", "createentity", "s", "c", "", 2, 1_675_962_689_588)
SUMMARY = EventSummary(KEY, "acme", KEY, "/eventingress", "t", "", "", "", KEY, "", 0, 1, 2)
POSITION = Position("events", 0, 0)


def execution(status: Status, attempt: int = 1, *, started: int = 5, **members: Any) -> Execution:
    plain: dict[str, Any] = dict.fromkeys(("tenant", "correlation_id", "event_id", "event_source", "event_type", "version"), "")
    plain |= {"process": "createentity", "execution_id": f"x{started}", "event_key": KEY, "received_ms": 1}
    plain |= {"finished_ms": 9 if status.final else None, "event_position": POSITION}
    return Execution(**(plain | {"status": status, "attempt": attempt, "started_ms": started} | members))


def shown(*executions: Execution, routed: bool = True) -> Any:
    message = Message(KEY, ROW, b"{}", EventView(SUMMARY, POSITION, routed, executions))
    return msgspec.json.decode(msgspec.json.encode(translate.message(message)))


@pytest.mark.parametrize(
    ("executions", "routed", "status"),
    [
        ((), False, "Received"),
        ((), True, "Failed"),
        ((execution(Status.PENDING, 0),), False, "Received"),
        ((execution(Status.PENDING, 0),), True, "Received"),
        ((execution(Status.IN_PROGRESS),), False, "Processing"),
        ((execution(Status.PENDING, reason="later"),), True, "Processing"),
        ((execution(Status.COMPLETED),), True, "Processed"),
        ((execution(Status.SKIPPED, reason="no"),), True, "Processed"),
        ((execution(Status.FAILED, reason="no"),), True, "Failed"),
        ((execution(Status.COMPLETED, process="record"),), False, "Received"),
        ((execution(Status.FAILED, reason="no"), execution(Status.COMPLETED, started=8)), True, "Processed"),
    ],
)
def test_the_status_is_that_of_the_last_run_of_the_business_process(
    executions: tuple[Execution, ...], routed: bool, status: str
) -> None:
    assert shown(*executions, routed=routed)["status"]["status"] == status


@pytest.mark.parametrize("data", ["null", "7", "[]", "{}", '{"entities":7}', '{"entities":[7,null,[]]}'])
def test_what_is_no_list_of_entities_is_none(data: str) -> None:
    assert shown(execution(Status.COMPLETED, data=data))["entities"] == []


def test_times_have_seven_digits_and_a_zone() -> None:
    assert shown()["receivedTime"] == "2023-02-09T17:11:29.5880000+00:00"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAllowed("fenx.eventingress"), 403, "NOT_ALLOWED"),
        (TooLarge(5), 413, "TOO_LARGE"),
        (TooManyRequests("acme", (), 7), 429, "QUOTA_EXCEEDED"),
        (BrokerUnavailable(), 503, "BROKER_UNAVAILABLE"),
        (BridgeError("secret"), 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_errors_have_the_documents_form_and_keep_what_they_say_to_http(error: BridgeError, status: int, code: str) -> None:
    answer = failures.answer_of(error, "r")
    found = json.loads(answer.body)
    assert (answer.status, found["data"], found["messages"][0]["errorCode"]) == (status, None, code)
    assert found["messages"][0]["type"] == ("Forbidden" if status == 403 else "Error")
    assert "secret" not in answer.body.decode()
    assert ("retry-after" in dict(answer.headers)) is (status in (429, 503))
    assert json.loads(failures.answer_of(NotAuthenticated(), "r").body) == {"message": "Unauthorized"}


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (NotAuthenticated(), 401, "invalid_client"),
        (NotAllowed("x"), 400, "invalid_scope"),
        (TooLarge(5), 413, "invalid_request"),
        (BrokerUnavailable(), 503, "temporarily_unavailable"),
        (BridgeError("hidden"), 500, "server_error"),
    ],
)
def test_errors_of_tokens_have_oauths_form(error: BridgeError, status: int, name: str) -> None:
    answer = token.answer_of(error, "r")
    assert (answer.status, json.loads(answer.body)["error"]) == (status, name)
    assert "hidden" not in answer.body.decode()
    assert dict(answer.headers)["pragma"] == "no-cache"
