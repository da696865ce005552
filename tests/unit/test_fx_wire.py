# SPDX-License-Identifier: Apache-2.0
"""What `POST /fx/events` reads: slices of the producer's bytes, and every fault at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import InvalidEvent
from web.dialects.fx import wire

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
NO_OBJECTS = [b"", b"{", b"[]", b'"text"', b"nul", b"{}x", b'{"p": NaN}', b'{"p":"\xff"}', b'{"p":"\\ud800"}', b"\xef\xbb\xbf{}"]


def envelope(payload: bytes) -> bytes:
    return b'{ "event_type":"t", "payload":' + payload + b', "event_source":"s" }'


def faults_of(body: bytes) -> dict[str, str]:
    try:
        _, faults = wire.read_event(body)
    except InvalidEvent as refused:
        faults = list(refused.faults)
    assert len({fault.pointer for fault in faults}) == len(faults) > 0
    return {fault.pointer: fault.detail for fault in faults}


@pytest.mark.parametrize(
    "payload",
    [
        b'{"big": 123456789012345678901234567890, "e": 1.50e+400}',
        b'{ "b" :  1,\n\t"a":2 ,"b":3}',
        b'"\\u00e4\xc3\xa4"',
        b"[ ]",
        b"null",
        b"-0.0",
    ],
)
def test_the_payload_is_the_slice_that_was_sent(payload: bytes) -> None:
    request, faults = wire.read_event(envelope(b"  " + payload + b" "))
    assert (request.payload, faults) == (payload, [])


@given(JSON_VALUES, st.sampled_from([None, 1, 3]), st.booleans())
def test_any_json_is_a_payload_and_keeps_its_bytes(value: object, indent: int | None, ascii_only: bool) -> None:
    payload = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    request, faults = wire.read_event(envelope(payload))
    assert (request.payload, faults) == (payload, [])


def test_every_fault_is_named_with_its_pointer() -> None:
    assert faults_of(b'{"event_source": 7, "event_type": "  ", "a/b~c": 1}') == {
        "/event_source": "must be a text",
        "/event_type": "must not be empty",
        "/payload": "is required",
        "/a~1b~0c": "is not known here; put it into payload",
    }


def test_nothing_of_what_is_given_twice_is_dropped_in_silence() -> None:
    body = b'{"event_source":"a","event_source":7,"event_type":"t","event_type":"t","payload":1,"payload":2,"b":1,"b":2}'
    twice = dict.fromkeys(("/event_source", "/event_type", "/payload"), "is given twice")
    assert faults_of(body) == twice | {"/b": "is not known here; put it into payload"}
    many = b'{"event_source":"a","event_type":"t","payload":1' + b"".join(b',"%d":1' % n for n in range(70)) + b"}"
    assert set(faults_of(many)) == {""}


@pytest.mark.parametrize("body", NO_OBJECTS)
def test_what_is_no_json_object_is_refused_at_the_root(body: bytes) -> None:
    assert set(faults_of(body)) == {""}


def test_deep_nesting_is_refused_and_does_not_crash() -> None:
    assert "deep" in faults_of(envelope(b"[" * 5000 + b"]" * 5000))[""]


def test_control_characters_in_a_type_are_refused() -> None:
    assert "U+0007" in faults_of(b'{"event_source":"s","event_type":"a\\u0007","payload":1}')["/event_type"]


def test_peek_finds_nothing_in_what_is_no_object() -> None:
    assert not wire.given(wire.peek(b'["type"]').type)
    assert wire.text_or_none(wire.peek(b'{"type": {"a": 1}}').type) is None
    assert wire.text_or_none(wire.peek(b' {"type":"a.b"}').type) == "a.b"
