# SPDX-License-Identifier: Apache-2.0
"""Problem documents, quota headers, the table of routes, and what a door demands before it reads."""

from __future__ import annotations

import json

import pytest

from bridge.domain.errors import (
    BridgeError,
    BrokerUnavailable,
    Fault,
    InvalidEvent,
    LengthRequired,
    Misconfigured,
    NotAuthenticated,
    Quota,
    TooLarge,
    TooManyRequests,
)
from web.http import limits, problems, rules
from web.http.faults import BodyTimeout, MalformedRequest, MethodNotAllowed
from web.http.messages import Answer, Request, Route
from web.http.table import Table
from web.services import Services

QUOTAS = (Quota("tenant", 1000, 60, 953, 12), Quota('odd "name"\\', 5, 1, -3, 0))


def shown(error: BridgeError) -> tuple[int, dict[str, object], dict[str, str]]:
    answer = problems.answer_of(error, "req_1")
    return answer.status, json.loads(answer.body), dict(answer.headers)


def test_an_invalid_event_shows_every_fault() -> None:
    status, body, headers = shown(InvalidEvent(Fault("/a", "is required"), Fault("header:x", "is odd")))
    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    assert body["type"] == "/problems/invalid-event"
    assert body["request_id"] == "req_1"
    assert body["errors"] == [{"pointer": "/a", "detail": "is required"}, {"pointer": "header:x", "detail": "is odd"}]


def test_one_body_for_every_failed_authentication() -> None:
    assert problems.answer_of(NotAuthenticated("revoked"), "r") == problems.answer_of(NotAuthenticated(), "r")
    assert dict(problems.answer_of(NotAuthenticated(), "r").headers)["www-authenticate"]


def test_an_error_of_ours_shows_an_id_and_nothing_else() -> None:
    for error in (BridgeError("secret path"), Misconfigured("secret path")):
        status, body, _ = shown(error)
        assert status == 500
        assert "detail" not in body
        assert "secret" not in json.dumps(body)
        assert body["request_id"] == "req_1"


def test_a_full_window_says_when_to_come_back() -> None:
    status, body, headers = shown(TooManyRequests("acme", QUOTAS[:1], 12))
    assert (status, headers["retry-after"]) == (429, "12")
    assert headers["ratelimit"] == '"tenant";r=953;t=12'
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert body["violated-policies"] == ["tenant"]


def test_headers_of_other_refusals() -> None:
    assert shown(BrokerUnavailable())[2]["retry-after"] == "1"
    assert shown(MethodNotAllowed(("POST", "GET")))[2]["allow"] == "GET, POST"
    assert shown(BodyTimeout(5.0))[0] == 408


def test_quota_headers_are_structured_fields() -> None:
    assert limits.quota_headers(QUOTAS) == (
        ("ratelimit-policy", '"tenant";q=1000;w=60, "odd \\"name\\"\\\\";q=5;w=1'),
        ("ratelimit", '"tenant";r=953;t=12, "odd \\"name\\"\\\\";r=0;t=0'),
    )
    assert limits.quota_headers(()) == ()


async def handler(_request: Request, _services: Services) -> Answer:
    return Answer(204)


def test_the_table_prefers_exact_paths_and_wants_whole_segments() -> None:
    exact, template = Route("GET", "/a/b", handler, "fx"), Route("GET", "/a/{x}", handler, "fx")
    table = Table([template, exact])
    assert table.find("GET", "/a/b") == (exact, {})
    assert table.find("GET", "/a/c") == (template, {"x": "c"})
    for method, path in (("POST", "/a/b"), ("GET", "/a/"), ("GET", "/a/b/"), ("GET", "//a/b"), ("GET", "/a/b/c"), ("GET", "*")):
        assert table.find(method, path) is None
    with pytest.raises(ValueError, match="twice"):
        Table([exact, Route("GET", "/a/b", handler, "other")])


def test_a_last_parameter_may_take_slashes() -> None:
    route = Route("GET", "/a/{x*}", handler, "fx")
    table = Table([route])
    assert table.find("GET", "/a/b") == (route, {"x": "b"})
    assert table.find("GET", "/a/b/c/") == (route, {"x": "b/c/"})
    for method, path in (("POST", "/a/b"), ("GET", "/a/"), ("GET", "/a"), ("GET", "/a//b"), ("GET", "/b/a/c")):
        assert table.find(method, path) is None


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, LengthRequired),
        ({"transfer-encoding": "chunked"}, LengthRequired),
        ({"transfer-encoding": "chunked", "content-length": "3"}, LengthRequired),
        ({"content-length": "+3"}, MalformedRequest),
        ({"content-length": "3, 3"}, MalformedRequest),
        ({"content-length": "\u0663"}, MalformedRequest),
        ({"content-length": "9" * 30}, MalformedRequest),
        ({"content-length": "11"}, TooLarge),
    ],
)
def test_a_body_of_unknown_wrong_or_excessive_length_is_refused(headers: dict[str, str], error: type[BridgeError]) -> None:
    with pytest.raises(error):
        rules.body_length(headers, 10, demanded=True)


def test_a_body_that_nobody_demands_may_be_absent() -> None:
    assert rules.body_length({}, 10, demanded=False) == 0
    assert rules.body_length({"content-length": "10"}, 10, demanded=True) == 10


def test_only_a_short_plain_token_is_taken_as_request_id() -> None:
    assert rules.request_id_of({"x-request-id": "abc-1.2:3_4"}) == "abc-1.2:3_4"
    for odd in ("", "a b", "x" * 65, "a\n", "ä", "<script>"):
        assert rules.request_id_of({"x-request-id": odd}).startswith("req_")
    assert rules.request_id_of({}) != rules.request_id_of({})


def test_odd_paths_and_headers_are_malformed() -> None:
    for path in ("/a\ufffd", "/a\0"):
        with pytest.raises(MalformedRequest):
            rules.check_path(path)
    for value in ("ä", "a\x01", "\x7f"):
        with pytest.raises(MalformedRequest, match="x-a"):
            rules.check_header_values({"x-a": value})
    rules.check_header_values({"x-a": "all printable, even\ttabs"})
