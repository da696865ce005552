# SPDX-License-Identifier: Apache-2.0
"""The quick way through binary mode gives the slow way's event, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cloudevents import http, plain
from bridge.domain.errors import InvalidEvent
from bridge.domain.limits import ATTRIBUTE_CHARS

CORE = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/shop", "ce-type": "order.paid"}
USUAL = {
    **CORE,
    "host": "h",
    "ce-subject": "a b",
    "ce-time": "2026-01-31T12:00:00Z",
    "ce-dataschema": "https://example.org/s",
    "ce-correlationid": "c",
    "ce-myext": "1",
    "content-type": "application/json; charset=utf-8",
}

names = st.sampled_from(
    [*USUAL, "ce-data", "ce-bad_name", "ce-", "ce-datacontenttype", "ce-tenantid", "ce-hops", "content-length"]
)
values = st.one_of(
    st.sampled_from(
        ["1.0", "/shop", "", "a b", "2026-02-30T12:00:00Z", "text/plain", "application/cloudevents+json", "a%20b", '"q"']
    ),
    st.sampled_from(["x" * 256, "x" * 257, "x" * (ATTRIBUTE_CHARS + 1), "ä", "a\tb", "%", "application/json, text/plain"]),
    st.text('aB1.:/%"\\ \t\x7fä€', max_size=8),
)
headers = st.builds(
    lambda changed, left_out: {name: text for name, text in (USUAL | changed).items() if name not in left_out},
    st.dictionaries(names, values, max_size=3),
    st.sets(names, max_size=3),
)


@given(headers, st.sampled_from([b"", b"{}", b'{"a":', b"\xff"]))
def test_the_quick_way_gives_the_slow_ones_event_or_nothing(headers: dict[str, str], body: bytes) -> None:
    quick = plain.event_of(headers, body)
    ((slow,), faults) = http._read_binary(headers, body)
    if quick is not None:
        assert not faults
        assert (list(quick.attributes.items()), quick.data) == (list(slow.attributes.items()), slow.data)


@pytest.mark.parametrize("headers", [CORE, USUAL, {**CORE, "content-type": "text/plain"}])
def test_an_ordinary_request_goes_the_quick_way(headers: dict[str, str]) -> None:
    assert plain.event_of(headers, b"{}") is not None


def test_a_fault_is_found_however_often_it_comes() -> None:
    faults = {"ce-source": "a b", "ce-specversion": "0.3", "ce-time": "now", "content-type": "json", "ce-hops": "1"}
    for name, text in [*faults.items()] * 3:
        with pytest.raises(InvalidEvent):
            http.read({**USUAL, name: text}, b"{}")


def test_what_strangers_send_is_not_remembered_without_bound() -> None:
    before = plain._form.cache_info().misses, plain._is_json.cache_info().misses
    for number in range(500):
        plain.event_of({**CORE, f"x{number}{'y' * 1000}": "1"}, b"")
        plain.event_of({**CORE, "ce-source": f"/{number}/{'y' * 1000}"}, b"")
    assert plain._form.cache_info().misses <= before[0] + 1
    assert plain._is_json.cache_info().misses == before[1]
    assert plain._form.cache_info().maxsize == 256
    assert plain._is_json.cache_info().maxsize == 1024
