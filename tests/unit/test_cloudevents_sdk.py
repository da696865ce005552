# SPDX-License-Identifier: Apache-2.0
"""
The official SDK as a second opinion: what it writes we read, what we write it reads.

Kept to where the SDK follows the specification. It invents absent ids and times, writes a Python boolean as `True` in
headers, drops JSON data that is null, and takes any record key for a partition key.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from cloudevents.core.bindings import http as sdk_http
from cloudevents.core.bindings import kafka as sdk_kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cloudevents import http, kafka
from bridge.domain.event import RESERVED, Event

OWN = {"id", "source", "type", "specversion", "time", "subject", "dataschema", "datacontenttype", "data", "partitionkey"}
texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=12)
names = st.text("abcxyz019", min_size=1, max_size=20).filter(lambda name: name not in OWN | RESERVED | {"correlationid"})
sources = st.builds(
    lambda scheme, path: scheme + path,
    st.sampled_from(["/", "urn:", "https://h.example/"]),
    st.text("az09._~-", min_size=1, max_size=12),
)
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=zones)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=4)
core = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": texts, "source": sources, "type": texts, "time": times},
    optional={"subject": texts, "partitionkey": texts},
)
attributes = st.builds(lambda own, more: {**more, **own}, core, st.dictionaries(names, texts, max_size=3))
few = settings(max_examples=400)


def canonical(given_attributes: dict[str, Any]) -> dict[str, str]:
    """Give the SDK's attributes as the texts that the specification makes of them."""
    return {name: _text(value) for name, value in given_attributes.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


@few
@given(attributes, objects)
def test_we_read_its_binary_requests(written: dict[str, Any], data: dict[str, Any]) -> None:
    message = sdk_http.to_binary_event(CloudEvent({**written, "datacontenttype": "application/json"}, data))
    (event,) = http.read(message.headers, message.body)
    assert dict(event.attributes) == {**canonical(written), "datacontenttype": "application/json"}
    assert event.data == message.body


@few
@given(attributes, st.dictionaries(names, st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=2), objects)
def test_we_read_its_structured_requests(written: dict[str, Any], typed: dict[str, Any], data: dict[str, Any]) -> None:
    written = {**typed, **written}
    message = sdk_http.to_structured_event(CloudEvent(dict(written), data))
    (event,) = http.read(message.headers, message.body)
    assert dict(event.attributes) == {**canonical(written), "datacontenttype": "application/json"}
    assert event.data in message.body
    assert json.loads(event.data) == data


@few
@given(attributes, st.binary(max_size=40) | texts)
def test_we_read_its_structured_requests_with_other_data(written: dict[str, Any], data: bytes | str) -> None:
    content_type = "application/octet-stream" if isinstance(data, bytes) else "text/plain"
    message = sdk_http.to_structured_event(CloudEvent({**written, "datacontenttype": content_type}, data))
    (event,) = http.read(message.headers, message.body)
    assert event.data == (data if isinstance(data, bytes) else data.encode())
    assert event.content_type == content_type


@few
@given(attributes, st.binary(max_size=40).filter(lambda data: not _is_text(data)))
def test_it_reads_our_records_and_requests(written: dict[str, Any], data: bytes) -> None:
    event = Event({**canonical(written), "datacontenttype": "application/octet-stream"}, data)
    record = sdk_kafka.KafkaMessage(headers=dict(kafka.headers_of(event)), key=None, value=event.data)
    request = sdk_http.HTTPMessage(headers=http.binary_headers(event), body=event.data)
    for seen in (sdk_kafka.from_binary(record, JSONFormat()), sdk_http.from_binary_event(request)):
        assert canonical(seen.get_attributes()) | {"time": ""} == dict(event.attributes) | {"time": ""}
        assert seen.get_time() == written["time"].astimezone(UTC)
        assert (seen.get_data() or b"") == data


@few
@given(attributes, st.binary(max_size=40))
def test_we_read_our_own(written: dict[str, Any], data: bytes) -> None:
    event = Event(canonical(written), data)
    assert http.read(http.binary_headers(event), data) == [event]
    assert kafka.event_of(kafka.headers_of(event), data) == event


def _is_text(data: bytes) -> bool:
    """Say whether the SDK would give these bytes as a text."""
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False
