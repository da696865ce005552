# SPDX-License-Identifier: Apache-2.0
"""Structured mode and batches: attributes of every type, the data's own bytes, and all faults with their JSON Pointers."""

from __future__ import annotations

import base64
import json

import pytest

from bridge.cloudevents import http
from bridge.domain.errors import InvalidEvent
from bridge.domain.event import Event
from bridge.domain.limits import ATTRIBUTES, BATCH_EVENTS
from tests.timing import quickest

ONE = {"content-type": "Application/CloudEvents+JSON; charset=UTF-8"}
MANY = {"content-type": "application/cloudevents-batch+json"}
CORE = '"specversion":"1.0","id":"7","source":"/shop","type":"order.paid"'
DATA = [
    '{"b" : 1234567890123456789012345678901234567890,\t"a":\n[1.10, 1e400 ], "\\u00e4":"\\u00e4\\/ä"}',
    "[ ]",
    '"a \\" \\ud83d\\ude00 text"',
    "-0.0",
    "null",
    "false",
    '{"data":{"data":1},"id":"not mine"}',
    '{"a":1,"a":2}',
]


def structured(members: str, headers: dict[str, str] = ONE) -> Event:
    (event,) = http.read(headers, f"{{{members}}}".encode())
    return event


def faults_of(body: str | bytes, headers: dict[str, str] = ONE) -> dict[str, str]:
    with pytest.raises(InvalidEvent) as refused:
        http.read(headers, body.encode() if isinstance(body, str) else body)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


@pytest.mark.parametrize("data", DATA)
def test_data_keeps_its_bytes(data: str) -> None:
    event = structured(f'"data" :  {data}\n , {CORE} ')
    assert event.data == data.encode()
    assert event.content_type == "application/json"


def test_data_keeps_its_bytes_in_a_batch() -> None:
    members = [f'{{ "id":"{n}","specversion":"1.0","source":"/s","type":"t","data" : {data} }}' for n, data in enumerate(DATA)]
    events = http.read(MANY, f" [\n{' , '.join(members)}\n]\t".encode())
    assert [event.data for event in events] == [data.encode() for data in DATA]
    assert [event.id for event in events] == [str(n) for n in range(len(DATA))]


def test_attributes_become_canonical_texts() -> None:
    event = structured(
        f'{CORE},"n":-2147483648,"m":2147483647,"z":-0,"t":true,"f":false,"e":"","nothing":null,"\\u0061":"\\u00e4"'
    )
    extensions = {"n": "-2147483648", "m": "2147483647", "z": "0", "t": "true", "f": "false", "e": "", "a": "ä"}
    assert dict(event.attributes) == {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.paid", **extensions}
    assert event.data == b""


def test_a_content_type_is_named_only_where_there_is_data_without_one() -> None:
    assert structured(f'{CORE},"data":1').content_type == "application/json"
    assert structured(f'{CORE},"data":1,"datacontenttype":"text/x+json"').content_type == "text/x+json"
    assert "datacontenttype" not in structured(CORE).attributes
    assert "datacontenttype" not in structured(f'{CORE},"data_base64":"aGk="').attributes


@pytest.mark.parametrize(
    ("content_type", "data", "stored"),
    [
        ("text/plain", '"<\\u00e4 \\ud83d\\ude00>"', "<ä 😀>".encode()),
        ("text/xml; charset=utf-8", '"<a b=\\"c\\"/>"', b'<a b="c"/>'),
        ("text/plain; charset=ISO-8859-1", '"\\u00e4"', b"\xe4"),
        ("text/plain", "null", b""),
    ],
)
def test_text_data_is_the_string_that_was_meant(content_type: str, data: str, stored: bytes) -> None:
    assert structured(f'{CORE},"datacontenttype":"{content_type}","data":{data}').data == stored


def test_binary_data_is_decoded() -> None:
    raw = bytes(range(256))
    assert structured(f'{CORE},"data":null,"data_base64":"{base64.b64encode(raw).decode()}"').data == raw
    assert structured(f'{CORE},"datacontenttype":"application/json","data_base64":"eyJhIiA6IDF9"').data == b'{"a" : 1}'


@pytest.mark.parametrize(
    ("members", "pointer", "part"),
    [
        (f'{CORE},"id":"8"', "/id", "is given twice"),
        (f'{CORE},"\\u0069d":"8"', "/id", "is given twice"),
        (f'{CORE},"data":1,"data":2', "/data", "is given twice"),
        (f'{CORE},"data":1,"data_base64":"aGk="', "/data", "must not stand beside data_base64"),
        (f'{CORE},"data_base64":"a"', "/data_base64", "is not base64"),
        (f'{CORE},"data_base64":"aG k="', "/data_base64", "is not base64"),
        (f'{CORE},"data_base64":"aGk"', "/data_base64", "is not base64"),
        (f'{CORE},"data_base64":"\\u00e4GkK"', "/data_base64", "is not base64"),
        (f'{CORE},"data_base64":1', "/data_base64", "must be a string"),
        (f'{CORE},"datacontenttype":"application/json","data_base64":"ew=="', "/data_base64", "is not JSON"),
        (f'{CORE},"datacontenttype":"text/plain","data":1', "/data", "must be a string"),
        (f'{CORE},"datacontenttype":"text/plain;charset=x","data":"a"', "/data", "data_base64"),
        (f'{CORE},"datacontenttype":"text/plain;charset=us-ascii","data":"\\u00e4"', "/data", "lacks"),
        (f'{CORE},"datacontenttype":"application/cloudevents+json","data":"{{}}"', "/datacontenttype", "must not be"),
        (f'{CORE},"x":1.0', "/x", "whole number"),
        (f'{CORE},"x":1e3', "/x", "whole number"),
        (f'{CORE},"x":2147483648', "/x", "whole number"),
        (f'{CORE},"x":{"9" * 5000}', "/x", "whole number"),
        (f'{CORE},"x":{{}}', "/x", "must be a string, a boolean or an integer"),
        (f'{CORE},"x":[]', "/x", "must be a string, a boolean or an integer"),
        (f'{CORE},"x":"\\u0000"', "/x", "forbidden character U+0000"),
        (f'{CORE},"x":"\\uffff"', "/x", "forbidden character U+FFFF"),
        (f'{CORE},"subject":5', "/subject", "must be a string"),
        (f'{CORE},"time":"2026-02-30T00:00:00Z"', "/time", "RFC 3339"),
        (f'{CORE},"a/b~c":""', "/a~1b~0c", "is not an attribute name"),
        (f'{CORE},"Upper":""', "/Upper", "is not an attribute name"),
        (f'{CORE},"hops":1', "/hops", "is set by the bridge"),
    ],
)
def test_a_fault_is_named_where_it_is(members: str, pointer: str, part: str) -> None:
    found = faults_of(f"{{{members}}}")
    assert found.keys() == {pointer}
    assert part in found[pointer]


def test_required_attributes_are_missing_when_null() -> None:
    assert faults_of('{"id":null}') == dict.fromkeys(("/specversion", "/id", "/source", "/type"), "is required")


@pytest.mark.parametrize("body", ["[]", "3", '"x"', "null", "[{}]"])
def test_a_structured_event_is_an_object(body: str) -> None:
    assert faults_of(body) == {"": "must be an object"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"a":"\\ud800"}', b"{" * 1000, b'{"a":' * 100_000])
@pytest.mark.parametrize("headers", [ONE, MANY], ids=["structured", "batch"])
def test_what_is_not_json_is_refused_whole(body: bytes, headers: dict[str, str]) -> None:
    assert faults_of(body, headers).keys() == {""}


def test_all_faults_of_a_batch_come_at_once() -> None:
    body = f'[{{{CORE}}},{{{CORE},"source":" "}},7,{{"specversion":"1.1","id":"","type":[]}},null]'
    assert faults_of(body, MANY) == {
        "/1/source": "is given twice",
        "/2": "must be an object",
        "/3/specversion": "must be 1.0",
        "/3/id": "must not be empty",
        "/3/type": "must be a string, a boolean or an integer",
        "/3/source": "is required",
        "/4": "must be an object",
    }


def test_the_size_of_a_batch() -> None:
    def batch(size: int) -> str:
        return (
            "["
            + ",".join(json.dumps({"specversion": "1.0", "id": str(n), "source": "/s", "type": "t"}) for n in range(size))
            + "]"
        )

    assert len(http.read(MANY, batch(BATCH_EVENTS).encode())) == BATCH_EVENTS
    assert faults_of(batch(BATCH_EVENTS + 1), MANY) == {"": f"has {BATCH_EVENTS + 1} events; the limit is {BATCH_EVENTS}"}
    assert faults_of("[]", MANY) == {"": "has no event"}
    assert faults_of("{}", MANY) == {"": "must be an array of events"}


def test_too_many_members_are_refused_without_reading_them_all() -> None:
    body = b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(1_000_000)) + b"}"
    assert faults_of(body) == {"": f"has more than {ATTRIBUTES} attributes"}
    assert quickest(lambda: faults_of(body), 0.15) < 0.15
