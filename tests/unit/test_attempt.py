# SPDX-License-Identifier: Apache-2.0
"""A record that comes back is dropped only if its attempt was made: one that was only held has to go on. Where the held wait."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.domain.execution import Status
from bridge.domain.retry import tiers
from bridge.sdk import Rejected, RetryLater
from bridge.sdk.testing import event
from processors.attempts import succession
from processors.attempts.attempt import Attempt
from processors.attempts.breakers import Breakers
from processors.attempts.retrying import Retries
from processors.attempts.succession import Succession
from processors.outcomes.verdicts import Failure, NotBegun, Verdict, Wait


def attempt(number: int, *, held: bool = False) -> Attempt:
    given: Any = SimpleNamespace(redelivery=SimpleNamespace(attempt=number), record=SimpleNamespace(key=b"a key"))
    nothing: Any = None
    process: Any = SimpleNamespace(name="process", state="")
    made = Attempt(nothing, nothing, nothing, given, process, "an-execution", nothing)
    made.made -= held
    return made


def test_an_attempt_covers_itself_and_earlier_ones() -> None:
    assert [attempt(2).covers(number) for number in (1, 2, 3)] == [True, True, False]


def test_a_held_one_does_not_cover_its_own_number_until_that_follows_it() -> None:
    held = attempt(1, held=True)
    assert not held.covers(1), "its record that waits may be back before its own is confirmed"
    held.follow(attempt(1))
    assert held.covers(1), "a second copy of it is a repetition"
    assert not held.covers(2)


def test_what_follows_later_does_not_push_out_what_follows_first() -> None:
    first, second, third = attempt(1), attempt(2), attempt(3)
    first.follow(second)
    first.follow(third)
    assert (first.successor, second.successor) == (second, third)


@pytest.mark.parametrize(("seconds", "topic"), [(0, "5s"), (4.9, "5s"), (10, "5s"), (300, "1m"), (9999, "1h")])
def test_a_rest_is_never_longer_than_asked_where_a_tier_is_short_enough(seconds: float, topic: str) -> None:
    verdict = Retries(tiers("5s,1m,1h")).rest(seconds, "rests", 0)
    assert verdict.wait is not None
    assert verdict.wait.topic == f"retries.{topic}"


async def test_one_that_lingers_ends_when_the_next_comes_or_after_a_while_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "LINGER_S", 0.05)
    ended: list[Succession] = []
    window: Any = SimpleNamespace(alive=True)
    first, second, third, late = (Succession(window, number, ended.append) for number in (1, 2, 3, 4))
    first.linger()
    assert not ended
    first.follow(second)
    assert ended == [first]
    first.follow(third)
    second.follow(third)
    second.linger()
    assert ended == [first, second], "what it would wait for is there"
    late.linger()
    await asyncio.sleep(0.1)
    assert ended == [first, second, late]
    gone = Succession(window, 5, ended.append)
    gone.linger()
    gone.linger_no_more()
    await asyncio.sleep(0.1)
    assert len(ended) == 3


@pytest.mark.parametrize(
    ("outcome", "waits"),
    [(Rejected("timeout", "never"), False), (Failure("timeout", "now"), True), (RetryLater("x"), True)],
)
def test_what_a_process_rejects_is_never_tried_again_whatever_it_calls_it(
    outcome: object, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Verdict] = []
    monkeypatch.setattr(Attempt, "_end", lambda _, verdict: seen.append(verdict))
    made = attempt(1)
    around: Any = SimpleNamespace(
        journal=SimpleNamespace(suspects={}, end=lambda _: None),
        breakers=SimpleNamespace(failed=lambda *_: None, worked=lambda *_: None),
        retries=Retries(tiers("5s")),
    )
    given: Any = SimpleNamespace(event=event("t.a"), redelivery=None, record=None)
    window: Any = SimpleNamespace(alive=True)
    process: Any = SimpleNamespace(name="process", state="", retry=None)
    made.around, made.given, made.window, made.process = around, given, window, process
    made.ended(outcome)
    assert [verdict.wait is not None for verdict in seen] == [waits]


@pytest.mark.parametrize(("lane", "topic"), [("", "surplus"), ("process", "lanes.process")])
def test_what_has_not_begun_waits_and_is_no_attempt(lane: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, verdict, _ = set_aside(monkeypatch, lane=lane)
    assert verdict == Verdict(Status.PENDING, reason="no place", wait=Wait(topic, 0))
    assert made.held
    assert (made.made, made.started_ms) == (2, 0), "and the time is not measured"
    assert made.around.breakers.rest(*made.circuit, 0) is not None, "an open breaker stays open"
    assert made.around.breakers.rest(*made.circuit, 100) is None, "and lets another probe through"


@pytest.mark.parametrize("suspect", [False, True])
def test_a_suspect_that_has_not_begun_stays_one(suspect: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, forgotten = set_aside(monkeypatch, suspect=suspect)
    assert forgotten == ([] if suspect else ["an-execution"])


def set_aside(monkeypatch: pytest.MonkeyPatch, lane: str = "", *, suspect: bool = False) -> tuple[Attempt, Verdict, list[str]]:
    """Let a breaker's probe find no place; gives the attempt, its verdict, and what the journal has forgotten."""
    seen: list[Verdict] = []
    forgotten: list[str] = []
    monkeypatch.setattr(Attempt, "_end", lambda _, verdict: seen.append(verdict))
    made, breakers = attempt(3), Breakers(1)
    journal = SimpleNamespace(end=forgotten.append, story=lambda _: "")
    given: Any = SimpleNamespace(event=event("t.a"), redelivery=made.given.redelivery, record=None)
    around: Any = SimpleNamespace(journal=journal, breakers=breakers, retries=Retries(tiers("5s")), lane=lane)
    made.around, made.given, made.window, made.suspect, made.started_ms = around, given, SimpleNamespace(alive=True), suspect, 1
    breakers.failed(*made.circuit, "it is away", 0)
    assert breakers.rest(*made.circuit, 100) is None, "this attempt is the probe"
    made.ended(NotBegun("no place"))
    (verdict,) = seen
    return made, verdict, forgotten
