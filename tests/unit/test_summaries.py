# SPDX-License-Identifier: Apache-2.0
"""A summary is written with the same bytes whoever writes it, so that a rebuilt view equals the lost one."""

from __future__ import annotations

import pytest

from bridge import summaries
from bridge.domain.event import Event

BARE = {"id": "7", "source": "/s", "type": "t", "tenantid": "acme", "eventkey": "k"}
FULL = BARE | {
    "subject": 'ä "x" \\ \x7f',
    "time": "2026-01-31T12:00:00Z",
    "datacontenttype": "application/json",
    "correlationid": "c|d",
    "causationid": "e",
    "hops": "3",
}


@pytest.mark.parametrize("attributes", [BARE, FULL, BARE | {"correlationid": ""}])
def test_both_ways_of_writing_give_equal_bytes_and_are_read_again(attributes: dict[str, str]) -> None:
    event = Event(attributes, b"data")
    summary = summaries.summarise(event, 1_800_000_000_001)
    assert summaries.written(event, 1_800_000_000_001) == summaries.encode(summary)
    assert summaries.decode(summaries.encode(summary)) == summary
    assert (summary.size, summary.hops) == (4, int(attributes.get("hops", "0")))


@pytest.mark.parametrize(("attributes", "error"), [({"id": "7"}, KeyError), (BARE | {"hops": "x"}, ValueError)])
def test_what_is_no_event_of_ours_has_no_summary(attributes: dict[str, str], error: type[Exception]) -> None:
    for make in (summaries.summarise, summaries.written):
        with pytest.raises(error):
            make(Event(attributes), 1)
