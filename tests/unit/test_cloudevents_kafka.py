# SPDX-License-Identifier: Apache-2.0
"""Events as Kafka records: headers, key, and every reason why a record cannot be read."""

from __future__ import annotations

import pytest

from bridge.cloudevents import kafka
from bridge.domain.errors import InvalidEvent
from bridge.domain.event import Event
from tests.timing import quickest

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "7",
    "datacontenttype": "application/json",
    "source": "/shop",
    "type": "order.paid",
    "subject": "Bücher 📚",
    "tenantid": "demo",
    "eventkey": "0192f0c1",
    "hops": "3",
}
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"7"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.paid"),
    ("ce_subject", "Bücher 📚".encode()),
    ("ce_tenantid", b"demo"),
    ("ce_eventkey", b"0192f0c1"),
    ("ce_hops", b"3"),
    ("content-type", b"application/json"),
]
CORE = HEADERS[:4]


def test_headers_hold_every_attribute_and_the_content_type_last() -> None:
    assert kafka.headers_of(Event(ATTRIBUTES, b"{}")) == HEADERS


def test_a_record_reads_as_the_event_that_was_written() -> None:
    event = Event(ATTRIBUTES, b'{ "n": 1e400}')
    assert kafka.event_of(kafka.headers_of(event), event.data) == event


def test_other_headers_are_left_out() -> None:
    event = kafka.event_of([*HEADERS, ("traceparent", b"\xff"), ("dl_code", b"x")], b"")
    assert dict(event.attributes) == ATTRIBUTES


def test_null_and_empty_values_are_events_without_data() -> None:
    assert kafka.event_of(CORE, None) == kafka.event_of(CORE, b"")


def test_no_content_type_header_without_a_content_type() -> None:
    bare = {name: text for name, text in ATTRIBUTES.items() if name != "datacontenttype"}
    assert [name for name, _ in kafka.headers_of(Event(bare))] == [name for name, _ in HEADERS[:-1]]


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        ({"tenantid": "t", "eventkey": "k"}, b"t/k"),
        ({"tenantid": "t", "eventkey": "k", "partitionkey": "ä/b"}, "t/ä/b".encode()),
        ({"tenantid": "t", "eventkey": "k", "partitionkey": ""}, b"t/k"),
    ],
)
def test_the_key_is_tenant_and_partition_key(attributes: dict[str, str], key: bytes) -> None:
    assert kafka.record_key(Event(attributes)) == key


@pytest.mark.parametrize(
    ("headers", "faults"),
    [
        (None, {"header:ce_specversion": "required", "header:ce_id": "required", "header:ce_source": "", "header:ce_type": ""}),
        (CORE[1:], {"header:ce_specversion": "is required"}),
        ([("ce_specversion", b"0.3"), *CORE[1:]], {"header:ce_specversion": "must be 1.0"}),
        ([*CORE[:3], ("ce_type", b"")], {"header:ce_type": "is empty"}),
        ([*CORE, ("ce_id", b"8")], {"header:ce_id": "is given twice"}),
        ([*CORE, ("ce_x", b"a\xff")], {"header:ce_x": "is not UTF-8 at byte 1"}),
        ([*CORE, ("ce_x", b"\x00")], {"header:ce_x": "forbidden character U+0000"}),
        ([*CORE, ("ce_x", None)], {"header:ce_x": "has no value"}),
        ([*CORE, ("ce_X", b"")], {"header:ce_X": "is not an attribute name"}),
        ([*CORE, ("ce_", b"")], {"header:ce_": "is not an attribute name"}),
        ([*CORE, ("ce_data", b"")], {"header:ce_data": "is not an attribute"}),
        ([*CORE, ("ce_datacontenttype", b"a/b")], {"header:ce_datacontenttype": "is sent as content-type"}),
        ([*CORE, ("ce_hops", b"-1")], {"header:ce_hops": "must be a whole number"}),
        ([*CORE, ("content-type", b"Application/CloudEvents+json; charset=UTF-8")], {"header:content-type": "must not be"}),
        ([*CORE, ("content-type", b"a/b"), ("content-type", b"a/b")], {"header:content-type": "is given twice"}),
    ],
)
def test_every_fault_of_a_record_is_named(headers: list[tuple[str, bytes]] | None, faults: dict[str, str]) -> None:
    with pytest.raises(InvalidEvent) as refused:
        kafka.event_of(headers, b"")
    found = {fault.pointer: fault.detail for fault in refused.value.faults}
    assert found.keys() == faults.keys()
    assert all(part in found[pointer] for pointer, part in faults.items())


def test_all_faults_come_at_once() -> None:
    with pytest.raises(InvalidEvent) as refused:
        kafka.event_of([("ce_id", b"\xff"), ("ce_Q", b""), ("ce_hops", b"x"), ("content-type", b"application/cloudevents")], None)
    assert len(refused.value.faults) == 7


@pytest.mark.parametrize("names", [(), ("datacontenttype",), ("id",), ("datacontenttype", "id"), ("id", "y" * 500)])
def test_headers_of_any_set_of_attributes(names: tuple[str, ...]) -> None:
    others = [(f"ce_{name}", b"1") for name in names if name != "datacontenttype"]
    content_type = [("content-type", b"1")] if "datacontenttype" in names else []
    assert kafka.headers_of(Event(dict.fromkeys(names, "1"))) == others + content_type


def test_strange_names_are_not_remembered_without_bound() -> None:
    before = kafka._header_names.cache_info().misses
    for number in range(5000):
        kafka.event_of([*CORE, (f"ce_x{number}", b"1"), ("ce_" + "y" * 21 + str(number), b"1")], b"")
        kafka.headers_of(Event({f"x{number}": "1"}))
        kafka.headers_of(Event({f"x{number}": "1", "y" * 400: "1"}))
    assert len(kafka._attribute_of) <= 1024
    assert kafka._header_names.cache_info().currsize <= 256
    assert kafka._header_names.cache_info().misses == 5000 + before, "long names are not remembered"
    assert max(map(len, kafka._attribute_of)) <= 23


def test_reading_is_fast_enough_for_the_worker() -> None:
    """20,000 a second leave 50 µs for everything; a tenth of that is the most that reading may take."""
    headers = kafka.headers_of(Event(ATTRIBUTES, b"{}"))

    def read_1000() -> None:
        for _ in range(1000):
            kafka.event_of(headers, b"{}")

    assert quickest(read_1000, 0.005) < 0.005
