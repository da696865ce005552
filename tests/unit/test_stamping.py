# SPDX-License-Identifier: Apache-2.0
"""A draft is named once, by everything that makes it this event, and stamped with what only the bridge says."""

from __future__ import annotations

import pytest

from bridge.domain.errors import InvalidEvent
from bridge.domain.ids import event_key
from bridge.domain.receipt import Draft
from bridge.intake.stamping import require_distinct, stamp

GIVEN = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.created", "datacontenttype": "text/plain"}


def test_a_producers_event_is_named_by_tenant_source_id_and_content() -> None:
    event = stamp(Draft(GIVEN, b"one"), "acme")
    assert event.key == event_key("acme", "/shop", "7", "order.created", "text/plain", b"one")
    assert (event.id, event.source, event.data) == ("7", "/shop", b"one"), "its own name stays its own"
    others = [
        stamp(Draft(GIVEN, b"one"), "other"),
        stamp(Draft(GIVEN, b"two"), "acme"),
        *(
            stamp(Draft(GIVEN | {name: "x"}, b"one"), "acme")
            for name in ("id", "source", "type", "datacontenttype", "partitionkey")
        ),
        stamp(Draft({n: v for n, v in GIVEN.items() if n != "datacontenttype"}, b"one"), "acme"),
    ]
    assert len({event.key, *(other.key for other in others)}) == 1 + len(others)


def test_what_does_not_make_it_another_event_does_not_name_it() -> None:
    again = Draft(GIVEN | {"time": "2026-01-01T00:00:00Z", "subject": "s"}, b"one", correlation_id="c")
    assert stamp(again, "acme").key == stamp(Draft(GIVEN, b"one"), "acme").key


def test_an_event_born_here_is_known_by_its_id() -> None:
    event = stamp(Draft(GIVEN | {"id": "0190"}, b"one", born=True), "acme")
    assert (event.key, event.id) == ("0190", "0190")


def test_the_correlation_is_the_callers_choice_or_the_event_itself() -> None:
    plain = stamp(Draft(GIVEN), "acme")
    assert (plain.correlation_id, plain.attributes["correlationid"]) == (plain.key, plain.key)
    assert stamp(Draft(GIVEN, correlation_id="order-7"), "acme").correlation_id == "order-7"


def test_the_stamps_are_the_bridges_whatever_the_draft_says() -> None:
    given = GIVEN | {"tenantid": "victim", "eventkey": "k", "correlationid": "c", "subject": "s"}
    event = stamp(Draft(given, b"one"), "acme")
    assert event.tenant == event.attributes["tenantid"] == "acme"
    assert event.attributes["eventkey"] == event.key != "k"
    assert event.attributes["correlationid"] == event.key
    assert event.attributes["subject"] == "s"
    assert given["tenantid"] == "victim", "the draft is left as it is"


def test_a_batch_names_every_member_that_repeats_an_earlier_one() -> None:
    names = [("/a", "1"), ("/b", "1"), ("/a", "2"), ("/a", "1"), ("/b", "1"), ("/a", "1")]
    drafts = [Draft(GIVEN | {"source": source, "id": name}, bytes([n])) for n, (source, name) in enumerate(names)]
    require_distinct(drafts[:3])
    with pytest.raises(InvalidEvent) as refused:
        require_distinct(drafts)
    assert [fault.pointer for fault in refused.value.faults] == ["/3/id", "/4/id", "/5/id"]
