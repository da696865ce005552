# SPDX-License-Identifier: Apache-2.0
"""Which open executions are written again, and what becomes of those that have ended elsewhere or are lost."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.domain.execution import Execution, Position, Status
from bridge.domain.ids import execution_id
from bridge.executions import encode
from bridge.settings import Settings
from processors.background import renewing
from processors.background.renewing import AFTER_MS, FRESH_S, WITH_MS, Read, Renewing
from processors.clock import now_ms
from processors.outcomes.verdicts import JOURNEYS
from processors.stream.app import WorkerApp
from processors.stream.outbox import Record
from processors.tables.ordered import NOWHERE, Line, Open, Ordered
from processors.tableset import make_tables

LINE = Line(0, "crm", b"acme/a")
OLD_MS = now_ms() - AFTER_MS - 60_000
HOUR_MS = 3_600_000


class Sent:
    """An outbox that keeps what it is given, and confirms it when asked."""

    def __init__(self) -> None:
        self.records: list[tuple[Record, Any]] = []

    def send(self, record: Record, report: Any) -> None:
        self.records.append((record, report))


def message(status: Status = Status.PENDING, received_ms: int = OLD_MS) -> Any:
    position = Position("events", 0, 7)
    known = Execution("x1", "e", "acme", "c", "i", "/s", "t.a", "crm", "1", status, 1, received_ms, 0, None, position)
    value = encode(known)
    named = [("status", status.value.encode())]  # as the shared lane writes of what it sends to another lane
    return SimpleNamespace(key=lambda: b"x1", value=lambda: value, headers=lambda: named)


class Case:
    """One open execution with an old record, and what the topic says of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, newest: Any, topic: str = "parked", due_ms: int = 0) -> None:
        self.ordered, self.sent, self.recovered, self.read_at = Ordered(), Sent(), True, 0.0
        self.one = Open("x1", 7, topic, due_ms, 40, OLD_MS)
        self.ordered.wait(LINE, self.one)
        outbox: Any = self.sent
        self.renewing = Renewing(Settings(retention_hours=1), self.ordered, outbox, lambda: self.recovered)

        def read(*_: Any) -> Read:
            self.during()
            return Read({} if newest is None else {"x1": newest}, time.monotonic() - self.read_at)

        monkeypatch.setattr(self.renewing, "_read", read)

    def during(self) -> None:
        """What happens while the topic is read."""

    async def look(self) -> list[tuple[Record, Any]]:
        await self.renewing.look()
        return self.sent.records


async def test_it_is_written_again_as_it_is_and_known_there(monkeypatch: pytest.MonkeyPatch) -> None:
    given = message()
    case = Case(monkeypatch, given)
    ((record, report),) = await case.look()
    assert (record.key, record.value, record.partition) == (b"x1", given.value(), 0)
    assert case.ordered.floor(0) == 40, "until the new record is confirmed"
    report(None, SimpleNamespace(offset=lambda: 90, timestamp=lambda: (1, now_ms())))
    assert case.ordered.floor(0) == 90
    assert len(await case.look()) == 1, "it is not old any more"
    again = Ordered()
    again.recover(dict(record.headers), "x1", 0, 90, 1)  # type: ignore[arg-type]  # none of ours is null
    assert again.ahead(LINE, 8) == Open("x1", 7, "parked", 0, 90, 1), "also where the newest record is one of the shared lane's"


async def test_what_another_lane_has_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, message(Status.FAILED))
    assert not await case.look()
    assert not len(case.ordered)


async def test_nothing_is_written_for_what_went_on_or_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pending record behind a final one would open the execution again."""
    case = Case(monkeypatch, message())
    for during in (
        lambda: case.ordered.end("x1"),
        lambda: case.ordered.wait(LINE, Open("x1", 7, "retries.5s", 5)),
        lambda: setattr(case, "recovered", False),
        lambda: setattr(case, "read_at", FRESH_S + 1),
    ):
        monkeypatch.setattr(case, "during", during)
        case.recovered, case.read_at = True, 0.0
        case.ordered.clear()
        case.ordered.wait(LINE, case.one)
        assert not await case.look()
    case.recovered, case.read_at = True, 0.0
    monkeypatch.setattr(case, "during", lambda: None)
    case.ordered.clear()
    case.ordered.wait(LINE, case.one)
    assert len(await case.look()) == 1


@pytest.mark.parametrize(
    ("topic", "due_h", "received_h", "written"),
    [
        ("parked", None, 3, False),
        ("parked", None, 1, True),
        ("retries.2h", -2, 1, False),
        ("retries.2h", 1, 99, True),
        (JOURNEYS, -99, 99, True),
    ],
)
async def test_what_waits_longer_than_its_event_is_kept_holds_no_start_up(
    monkeypatch: pytest.MonkeyPatch, topic: str, due_h: int | None, received_h: int, written: bool
) -> None:
    due_ms = 0 if due_h is None else now_ms() + due_h * HOUR_MS
    case = Case(monkeypatch, message(received_ms=now_ms() - received_h * HOUR_MS), topic, due_ms)
    assert bool(await case.look()) is written
    assert case.ordered.floor(0) == (40 if written else None)
    assert case.ordered.ahead(LINE, 8) is not None, "this worker goes on to wait for it"


async def test_a_record_that_is_lost_holds_no_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, None)
    assert not await case.look()
    assert (case.ordered.floor(0), case.one.written) == (None, NOWHERE)


async def test_many_are_written_in_several_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "MOST", 3)
    case = Case(monkeypatch, message())
    for n in range(9):
        case.ordered.wait(LINE, Open(f"y{n}", 8 + n, "parked", 0, 41 + n, OLD_MS + n))
    asked: list[list[str]] = []

    def read(_: int, ones: Any) -> Read:
        asked.append([one.execution_id for one in ones])
        return Read({}, time.monotonic())

    monkeypatch.setattr(case.renewing, "_read", read)
    for _ in range(5):
        await case.look()
    assert asked == [["x1", "y0", "y1"], ["y2", "y3", "y4"], ["y5", "y6", "y7"], ["y8"]], "the oldest first"


def test_one_reading_serves_all_that_are_not_new() -> None:
    ordered = Ordered()
    now = now_ms()
    for n, age_ms in enumerate((AFTER_MS + 1, WITH_MS + 1, WITH_MS - 60_000)):
        ordered.wait(LINE, Open(f"x{n}", n, "parked", 0, 40 + n, now - age_ms))
    ordered.wait(Line(1, "crm", b"b"), Open("other", 1, "parked", 0, 40, now - WITH_MS - 1))
    ordered.wait(LINE, Open("x0", 0, "parked", 0))
    assert not ordered.aged(now - AFTER_MS, now - WITH_MS), "what is being written is not old"
    ordered.written("x0", 50, now - AFTER_MS - 1)
    due = ordered.aged(now - AFTER_MS, now - WITH_MS)
    assert {p: [one.execution_id for one in ones] for p, ones in due.items()} == {0: ["x1", "x0"]}


@pytest.mark.parametrize(("lane", "kept"), [("", {"mine", "gone"}), ("slow", {"slow"})])
async def test_only_what_this_worker_runs_is_open_here(lane: str, kept: set[str]) -> None:
    app = WorkerApp("tables", broker="kafka://127.0.0.1:1", store="memory://")
    chosen = Settings(worker_lane=lane)
    lanes = ("slow",) if lane else ("slow", "other")
    table = make_tables(app, chosen, "source", (), lanes).executions
    for n, name in enumerate(("mine", "gone", "slow", "other")):
        execution = execution_id(name, name)
        headers = [("status", b"pending"), ("attempt", b"1"), ("process", name.encode())]
        headers += Open(execution, n, "parked", 0).headers(Line(0, name, b"k"))
        record = SimpleNamespace(key=execution.encode(), value=b"{}", headers=headers, partition=0, offset=n, timestamp=now_ms())
        table.recover(record)
    assert {name for name in ("mine", "gone", "slow", "other") if table.ordered.ahead(Line(0, name, b"k"), 99)} == kept
