# SPDX-License-Identifier: Apache-2.0
"""Binary mode over HTTP: header values, the body as data, and all faults of a request at once."""

from __future__ import annotations

import pytest

from bridge.cloudevents import http, percent
from bridge.domain.errors import InvalidEvent, UnsupportedMedia
from bridge.domain.event import RESERVED, Event
from bridge.domain.limits import ATTRIBUTE_CHARS, ATTRIBUTES, CORRELATION_CHARS

CORE = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/shop", "ce-type": "order.paid"}


def faults_of(headers: dict[str, str], body: bytes = b"") -> dict[str, str]:
    with pytest.raises(InvalidEvent) as refused:
        http.read(headers, body)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


def test_headers_are_attributes_and_the_body_is_the_data() -> None:
    body = b'{"n" : 12345678901234567890123456789012345678901, "u":"\\u00e4" }\n'
    (event,) = http.read({**CORE, "ce-myext": "x", "content-type": "application/json", "host": "h"}, body)
    assert event.data == body
    assert dict(event.attributes) == {
        **{name[3:]: value for name, value in CORE.items()},
        "myext": "x",
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/octet-stream", "image/png", "application/cloudevent"])
def test_data_that_is_not_json_is_not_looked_at(content_type: str | None) -> None:
    headers = CORE if content_type is None else {**CORE, "content-type": content_type}
    (event,) = http.read(headers, b"\xff\x00{")
    assert event.data == b"\xff\x00{"
    assert event.attributes.get("datacontenttype") == content_type


def test_an_event_may_have_no_data() -> None:
    (event,) = http.read({**CORE, "content-type": "application/json"}, b"")
    assert event.data == b""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%2541", "%41"),
        ('"a b"', "a b"),
        ('"a \\"b\\" \\\\ c"', 'a "b" \\ c'),
        ('x"y z"w', "xy zw"),
        ('"%22"', '"'),
        ('""', ""),
        ("a b", "a b"),
    ],
)
def test_header_values_are_unquoted_and_then_percent_decoded_once(value: str, text: str) -> None:
    assert percent.decode(value) == (text, "")


@pytest.mark.parametrize("value", ["%C0%A0", "%FF", "%E2%82", "%ED%A0%80", "%", "%4", "%zz", '"open', 'a"', "ä", "a\tb", "a\x7f"])
def test_header_values_that_stand_for_no_text(value: str) -> None:
    assert percent.decode(value)[1]


def test_values_are_written_as_the_binding_says() -> None:
    event = Event({"subject": 'Euro € 😀 "a" 100% ~!', "datacontenttype": "text/plain"})
    written = "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22a%22%20100%25%20~!"
    assert http.binary_headers(event) == {"ce-subject": written, "content-type": "text/plain"}


def test_every_fault_is_named_at_once() -> None:
    headers = {
        "ce-id": "",
        "ce-source": "a b",
        "ce-specversion": "0.3",
        "ce-time": "yesterday",
        "ce-dataschema": "/relative",
        "ce-subject": "%00",
        "ce-bad_name": "1",
        "ce-data": "1",
        "ce-datacontenttype": "text/plain",
        "ce-x": "%C0%A0",
        "ce-partitionkey": "",
        "content-type": "application/json, text/plain",
    }
    assert faults_of(headers).keys() == {*(f"header:{name}" for name in headers), "header:ce-type"}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_what_the_bridge_sets_is_refused(name: str) -> None:
    assert faults_of({**CORE, f"ce-{name}": "1"}) == {f"header:ce-{name}": "is set by the bridge and must not be sent"}


def test_limits() -> None:
    assert "the limit is" in faults_of({**CORE, "ce-id": "x" * (ATTRIBUTE_CHARS + 1)})["header:ce-id"]
    assert "the limit is" in faults_of({**CORE, "ce-correlationid": "x" * (CORRELATION_CHARS + 1)})["header:ce-correlationid"]
    assert "the limit is" in faults_of({**CORE, **{f"ce-x{n}": "" for n in range(ATTRIBUTES)}})[""]
    assert http.read({**CORE, "ce-subject": "x" * ATTRIBUTE_CHARS, "ce-correlationid": "x" * CORRELATION_CHARS}, b"")
    assert http.read({**CORE, **{f"ce-x{n}": "" for n in range(ATTRIBUTES - len(CORE))}}, b"")


@pytest.mark.parametrize("body", [b"{", b'{"a":NaN}', b'"\\ud800"', b"\xef\xbb\xbf{}", b"[" * 100_000])
def test_data_that_calls_itself_json_must_be_json(body: bytes) -> None:
    assert faults_of({**CORE, "content-type": "application/vnd.x+json; charset=utf-8"}, body).keys() == {""}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+avro",
        "APPLICATION/CLOUDEVENTS-BATCH",
        "application/cloudeventsx+json",
    ],
)
def test_other_event_formats_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        http.read({**CORE, "content-type": content_type}, b"{}")
