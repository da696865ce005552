# SPDX-License-Identifier: Apache-2.0
"""How the Flow dialect finds tokens, reads requests and writes runs; nothing here needs Kafka or Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.authenticate import FlowCaller
from bridge.credentials import digest
from bridge.domain.errors import (
    BridgeError,
    BrokerUnavailable,
    Fault,
    InvalidEvent,
    NotAllowed,
    NotAuthenticated,
    Quota,
    TooLarge,
    TooManyRequests,
    UnsupportedMedia,
)
from bridge.domain.principal import FlowScope
from bridge.workflows.advance import fresh
from bridge.workflows.signals import Start
from bridge.workflows.triggers import INVALID_END_STATUS, UNKNOWN_RUN
from web.dialects.flow import failures, reading, requests, translate
from web.dialects.flow.calling import called
from web.dialects.flow.failures import NotStarted
from web.http.messages import Answer, Request

CE = "application/cloudevents+json"
RUN = "01890000-0000-7000-8000-000000000000"


def named(data: bytes, content_type: str = "application/json", **attributes: str) -> tuple[dict[str, Any], str]:
    given_ = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": content_type}
    return asyncio.run(reading.event_of(Request("POST", "/", given_ | {f"ce-{k}": v for k, v in attributes.items()}, data)))


def event(data: bytes, content_type: str = "application/json") -> dict[str, Any]:
    return named(data, content_type)[0]


def value(body: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return asyncio.run(reading.value_of(Request("POST", "/", {"content-type": "application/json"} | named, body)))


@pytest.mark.parametrize("data", [b'{"a": [1]}', b'"{\\"a\\": [1]}"'])
def test_data_is_an_object_or_a_text_that_holds_one(data: bytes) -> None:
    assert event(data)["data"] == {"a": [1]}


@pytest.mark.parametrize("data", [b"[]", b"1", b'"text"', b'"[]"', b'"1e400"', b'"{\\"a\\": NaN}"'])
def test_other_data_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidEvent, match="/data"):
        event(data)


def test_data_of_another_type_are_refused_and_an_event_need_not_have_any() -> None:
    with pytest.raises(InvalidEvent, match="/data"):
        event(b'{"a": 1}', "text/plain")
    assert "data" not in event(b"")
    assert "data" not in event(b"null")


def test_an_event_that_is_sent_again_has_its_name_and_any_other_has_another() -> None:
    events: list[tuple[bytes, dict[str, str]]] = [(b"{}", {}), (b'{"a": 1}', {}), (b"{}", {"id": "2"}), (b"{}", {"source": "/r"})]
    names = [named(data, **attributes)[1] for data, attributes in events]
    assert names == [named(data, **attributes)[1] for data, attributes in events]
    assert len(set(names)) == len(events)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"1e400", b'{"a": 1e999}', b"NaN", b'"\\ud800"', b"[" * 501 + b"]" * 501])
def test_what_no_json_value_is_made_of_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        value(body)


def test_large_bodies_and_numbers_are_read() -> None:
    many = [{"n": 2**70, "text": "é" * 1000}] * 100
    assert value(json.dumps(many).encode())[99]["text"] == "é" * 1000
    assert value(b"[" * 500 + b"]" * 500)


@pytest.mark.parametrize("given_", ["", "text/json", "application/x-www-form-urlencoded", "application/json;charset=latin-1", CE])
def test_webhooks_are_json_by_their_type(given_: str) -> None:
    with pytest.raises(UnsupportedMedia):
        value(b"{}", content_type=given_)


def test_an_encoding_is_not_read() -> None:
    with pytest.raises(UnsupportedMedia):
        value(b"{}", content_encoding="gzip")
    with pytest.raises(UnsupportedMedia):
        asyncio.run(reading.event_of(Request("POST", "/", {"content-type": CE, "content-encoding": "gzip"}, b"{}")))


@pytest.mark.parametrize(
    ("subject", "workflow"), [("/wf/topic", "wf"), ("wf", "wf"), ("/wf", "wf"), ("wf/topic", "wf"), ("//wf//t", "wf"), ("/", "")]
)
def test_the_subject_names_the_workflow_in_its_first_part(subject: str, workflow: str) -> None:
    assert translate.workflow_of_subject(subject) == workflow


@pytest.mark.parametrize("query", ["ref=wf", "workflow=wf", "ref=wf&workflow=wf", "ref=&workflow=wf&other=1"])
def test_a_workflow_has_two_names_of_a_parameter(query: str) -> None:
    assert requests.workflow_of(query) == "wf"


@pytest.mark.parametrize("query", ["ref=a&workflow=b", "ref=a&ref=b", "ref=%ff", "&".join(["a=1"] * 51), f"ref={'a' * 1025}"])
def test_queries_that_say_nothing_clear_are_refused(query: str) -> None:
    with pytest.raises(InvalidEvent):
        requests.workflow_of(query)


@pytest.mark.parametrize(("given_", "status"), [("", "succeeded"), ("&status=FAILED", "failed"), ("&status=invalid", "invalid")])
def test_a_callback_names_run_topic_and_status(given_: str, status: str) -> None:
    assert requests.callback_of(f"ref={RUN.upper()}&topic=a%2Fb{given_}") == (RUN, "a/b", status)


def test_every_fault_of_a_callback_is_named_and_codes_come_after() -> None:
    with pytest.raises(InvalidEvent) as caught:
        requests.callback_of(f"topic={'t' * 1025}&status=no")
    assert [fault.pointer for fault in caught.value.faults] == ["query:ref", "query:topic"]
    for query, refusal in ((f"ref={RUN}&topic=t&status=no", INVALID_END_STATUS), ("ref=no&topic=t", UNKNOWN_RUN)):
        with pytest.raises(NotStarted) as refused:
            requests.callback_of(query)
        assert refused.value.refusal is refusal


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_query_crashes(ref: str, topic: str, status: str) -> None:
    query = urlencode({"ref": ref, "topic": topic, "status": status}, errors="replace")
    for read in (requests.workflow_of, requests.callback_of):
        for one in (query, f"{ref}={topic}&{status}"):
            with contextlib.suppress(InvalidEvent, NotStarted):
                read(one)


class House:
    """As much of the services as the search for a token asks."""

    def __init__(self, *, query: bool = False, anonymous: str = "") -> None:
        self.settings = self.registry = self.flow_tokens = self
        self.flow_query_tokens, self.flow_anonymous_tenant = query, anonymous
        self.asked: list[bytes] = []

    def active(self, tenant: str) -> bool:
        return tenant == "open"

    def token(self, digest: bytes) -> None:
        self.asked.append(digest)


def call(house: Any, query: str = "", scope: FlowScope = FlowScope.WEBHOOK_ACTION, **headers: str) -> Answer:
    async def operation(_request: Request, _services: Any, caller: FlowCaller) -> Answer:
        return Answer(200, caller.tenant.encode(), (failures.JSON,))

    return asyncio.run(called(operation, scope)(Request("POST", "/", headers, query=query), house))


@pytest.mark.parametrize(
    ("house", "query", "headers", "asked"),
    [
        (House(), "", {"authorization": "Bearer bft_x"}, True),
        (House(), "", {"authorization": "bearer  bft_x"}, True),
        (House(), "", {"authorization": "bft_x"}, True),
        (House(query=True), "access_token=bft_x", {}, True),
        (House(query=False), "access_token=bft_x", {}, False),
        (House(query=True), "access_token=bft_x", {"authorization": "Basic eDp5"}, False),
        (House(query=True, anonymous="open"), "access_token=bft_x", {}, True),
        (House(anonymous="closed"), "", {}, False),
        (House(), "", {}, False),
    ],
)
def test_where_a_token_is_looked_for(house: House, query: str, headers: dict[str, str], asked: bool) -> None:
    with pytest.raises(NotAuthenticated):
        call(house, query, **headers)
    assert (digest("bft_x") in house.asked) == asked


def test_anybody_is_let_in_only_without_a_token_and_for_an_open_tenant() -> None:
    house = House(anonymous="open")
    assert call(house).body == b"open"
    assert call(house, scope=FlowScope.WORKFLOWRUN_READ).body == b"open"
    with pytest.raises(NotAuthenticated):
        call(house, authorization="Bearer wrong")


ERRORS: list[tuple[BridgeError, int, int, str, str]] = [
    (NotStarted(INVALID_END_STATUS), 400, 1505, "TASKRUN_INVALID_END_STATUS", "400 BAD_REQUEST"),
    (NotAuthenticated(), 401, 401, "UNAUTHORIZED", "401 UNAUTHORIZED"),
    (NotAllowed("s"), 403, 403, "PERMISSION_DENIED", "403 FORBIDDEN"),
    (InvalidEvent(Fault("/a", "is wrong"), Fault("", "is bad")), 400, 400, "INVALID_EVENT", "400 BAD_REQUEST"),
    (TooLarge(5), 413, 413, "TOO_LARGE", "413 PAYLOAD_TOO_LARGE"),
    (UnsupportedMedia(), 415, 415, "UNSUPPORTED_MEDIA", "415 UNSUPPORTED_MEDIA_TYPE"),
    (TooManyRequests("t", (Quota("5s", 10, 5, 3, 2),), 2), 429, 1020, "QUOTA_EXCEEDED", "429 TOO_MANY_REQUESTS"),
    (BrokerUnavailable(), 503, 503, "BROKER_UNAVAILABLE", "503 SERVICE_UNAVAILABLE"),
    (BridgeError("secret detail"), 500, 500, "INTERNAL", "500 INTERNAL_SERVER_ERROR"),
]


@pytest.mark.parametrize(("error", "status", "code", "reason", "line"), ERRORS)
def test_errors_have_the_document_s_form(error: BridgeError, status: int, code: int, reason: str, line: str) -> None:
    answer = failures.answer_of(error, "req_1")
    shown = json.loads(answer.body)
    assert list(shown) == ["timestamp", "code", "reason", "message", "status", "cause"]
    assert (answer.status, shown["code"], shown["reason"], shown["status"], shown["cause"]) == (status, code, reason, line, None)
    assert "secret" not in shown["message"]
    assert ("retry-after" in dict(answer.headers)) == (status in (429, 503))


def test_messages_say_every_fault_and_what_is_used_up() -> None:
    assert json.loads(failures.answer_of(ERRORS[3][0], "").body)["message"] == "/a is wrong. The body is bad."
    assert json.loads(failures.answer_of(ERRORS[6][0], "").body)["message"] == "A quota has been exceeded. Runs in 5 s: 7 / 10"


def test_a_run_is_shown_without_its_workflow_too() -> None:
    run = fresh(RUN, Start(tenant="acme", workflow="order", version=2, params={"a": 1}, initiated_by="program"), 1000)
    shown = translate.workflow_run(run, None)
    assert (shown["workflowRef"], shown["workflowRevisionRef"], shown["tasks"]) == ("order", "order.2", [])
    assert shown["params"] == [{"name": "a", "value": 1}]
