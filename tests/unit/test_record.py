# SPDX-License-Identifier: Apache-2.0
"""The shipped process `record` copies an event to its result topic as it came."""

from __future__ import annotations

from bridge.sdk import Completed, Result
from bridge.sdk.testing import event, run
from plugins.record import Record, bridge_processes


async def test_bytes_type_subject_and_content_type_stay() -> None:
    odd = event("a.b", b'{"n": 12345678901234567890.10}', subject="s/1", datacontenttype="application/vnd.x+json")
    assert await run(Record(), odd) == Completed(
        results=[Result("a.b", b'{"n": 12345678901234567890.10}', subject="s/1", content_type="application/vnd.x+json")]
    )


async def test_an_event_without_data_gives_a_result_without_data() -> None:
    outcome = await run(Record(), event("a.b"))
    assert outcome == Completed(results=[Result("a.b", b"", content_type="")])


def test_it_takes_every_type() -> None:
    [record] = bridge_processes()
    assert (record.name, record.events) == ("record", ("*",))
