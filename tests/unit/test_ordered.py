# SPDX-License-Identifier: Apache-2.0
"""Open executions of ordered processes: who waits behind whom, and what a restart must read to know."""

from __future__ import annotations

from processors.tables.ordered import DUE, KEY, NAME, OFFSET, TOPIC, Line, Open, Ordered
from processors.tables.record_tables import Note

LINE, OTHER = Line(0, "crm", b"acme/a"), Line(1, "crm", b"acme/b")


def test_only_earlier_events_of_the_same_line_are_ahead() -> None:
    ordered = Ordered()
    ordered.wait(LINE, Open("x5", 5, "5s", 100))
    ordered.wait(LINE, Open("x3", 3, "5s", 90))
    assert ordered.ahead(LINE, 3) is None
    first = ordered.ahead(LINE, 9)
    assert first is not None
    assert first.execution_id == "x3"
    assert ordered.ahead(OTHER, 9) is None
    ordered.end("x3")
    first = ordered.ahead(LINE, 9)
    assert first is not None
    assert first.execution_id == "x5"
    ordered.end("x5")
    ordered.end("x5")
    assert ordered.ahead(LINE, 9) is None
    assert len(ordered) == 0


def test_the_floor_is_the_oldest_newest_record_of_what_is_open() -> None:
    ordered = Ordered()
    assert ordered.floor(0) is None
    ordered.wait(LINE, Open("x1", 1, "5s", 100))
    assert ordered.floor(0) is None, "a record that is not confirmed is read again with its event"
    ordered.written("x1", 40, 0)
    ordered.wait(LINE, Open("x2", 2, "5s", 100))
    ordered.written("x2", 50, 0)
    ordered.wait(LINE, Open("x1", 1, "30s", 200))
    assert ordered.floor(0) == 40, "the last record stands until the next one is confirmed"
    ordered.written("x1", 60, 0)
    assert ordered.floor(0) == 50
    assert ordered.floor(1) is None
    ordered.end("x2")
    assert ordered.floor(0) == 60


def test_records_tell_a_restart_what_is_open() -> None:
    ordered = Ordered()
    waiting = {OFFSET: b"7", NAME: b"crm", KEY: b"acme/a", TOPIC: b"5s", DUE: b"900"}
    ordered.recover(waiting, "x7", 0, 11, 0)
    first = ordered.ahead(LINE, 8)
    assert first == Open("x7", 7, "5s", 900, 11)
    ordered.recover({OFFSET: b"7"}, "x7", 0, 12, 0)
    assert ordered.ahead(LINE, 8) is None


def test_a_note_is_read_as_it_was_written() -> None:
    for note in (Note(), Note(17), Note(17, 4), Note(0, 0)):
        assert Note.read(note.text()) == note
    assert Note.read("") == Note()
    assert Note.read("12") == Note(12)
