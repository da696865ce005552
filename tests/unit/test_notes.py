# SPDX-License-Identifier: Apache-2.0
"""A note of where a start must begin to read is committed when it changes, also where no event comes."""

from __future__ import annotations

from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from bridge.settings import Settings
from processors.stream.app import WorkerApp
from processors.stream.batches import BatchConsumer
from processors.stream.bookkeeping import Bookkeeping
from processors.stream.window import Window
from processors.tables.ordered import Line, Open, Ordered
from processors.tableset import make_tables

QUIET, BUSY, OTHER = TP("events", 0), TP("events", 1), TP("redeliveries", 0)


class Books:
    """The ledger of a consumer: the books of a worker with one window."""

    def __init__(self) -> None:
        app = WorkerApp("notes", broker="kafka://127.0.0.1:1", store="memory://")
        usage, outbox = make_tables(app, Settings(), "events", (), ()).usage, None
        self.ordered = Ordered()
        self.books = Bookkeeping(usage, self.ordered, outbox, "events", "usage")  # type: ignore[arg-type]  # nothing is counted
        self.windows = {BUSY: Window("events", 1, 5)}

    def heads(self, committed: Any) -> Any:
        return self.books.heads(self.windows, committed)

    def committed(self, offsets: Any) -> None: ...


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> BatchConsumer:
    made = BatchConsumer.__new__(BatchConsumer)
    made.ledger, made.notes, made._noted, made.recovered = Books(), {}, {}, True  # type: ignore[assignment]  # enough of one
    made._committed_offset = {QUIET: 7, BUSY: 5, OTHER: 9}
    monkeypatch.setattr(made, "assignment", lambda: {QUIET, BUSY, OTHER})
    return made


async def test_a_note_is_committed_once_and_again_when_it_changes(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, True]

    async def commit(*_: Any) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(driver.Consumer, "_commit_offsets", commit)
    await consumer.ledger.books.write(consumer.ledger.windows)
    while answers:
        offsets = consumer._filter_committable_offsets(())
        assert offsets == {QUIET: 7, BUSY: 5}, "also again where it was not taken"
        await consumer._commit_offsets(offsets)
    assert not consumer._filter_committable_offsets(())
    consumer.ledger.ordered.wait(Line(0, "crm", b"a"), Open("x", 1, "parked", 0, 40, 1))
    assert consumer._filter_committable_offsets(()) == {QUIET: 7}
    assert consumer.notes[QUIET] == "0,40"
    consumer.recovered = False
    assert not consumer._filter_committable_offsets(()), "nobody knows what is open"
