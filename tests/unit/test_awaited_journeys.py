# SPDX-License-Identifier: Apache-2.0
"""How an execution begins its journeys and waits, and how their runs give the message back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bridge import redeliveries
from bridge.domain.errors import InvalidEvent
from bridge.domain.execution import Status
from bridge.domain.redelivery import Journey, Redelivery
from bridge.domain.retry import tiers
from bridge.sdk import AwaitJourneys, Result
from bridge.sdk.testing import event
from bridge.workflows.advance import advance
from bridge.workflows.effects import Answer, StartRun
from bridge.workflows.journeys import JOINING, joined
from bridge.workflows.limits import RUN_BYTES
from bridge.workflows.reading import check
from bridge.workflows.retrying import retryable
from bridge.workflows.run import Asker, Parent, Run
from bridge.workflows.signals import Cancel, TaskEnded
from processors.attempts import journeys
from processors.attempts.lanes import Lane, Lanes
from processors.attempts.retrying import Retries
from processors.outcomes import answers
from processors.outcomes.outputs import Cause
from processors.outcomes.verdicts import JOURNEYS, Verdict, Wait, judge
from processors.tables.ordered import Line, Open, Ordered
from tests.unit.journeys import PAYLOAD, TASKS, attempt, index, message, start_id, started, version


def test_what_awaits_begins_its_journey_with_the_message_to_be_given_back() -> None:
    made = attempt(message(), version("w"))
    verdict = journeys.awaiting(made, Verdict(Status.PENDING), 1000)
    assert (verdict.wait, verdict.reason) == (Wait(JOURNEYS, 1000), "waits for w")
    start = started(made)
    assert (start.workflow, start.version, start.trigger, start.hops) == ("w", 3, "event", 1)
    asker = start.asker
    assert asker is not None
    assert (asker.partition, asker.key, asker.value.encode()) == (3, b"test/e", made.given.event.data)
    assert ("h", b"\xff") in asker.headers, "headers come back as they were"
    again = redeliveries.redelivery_of([*asker.headers])
    assert (again.attempt, again.process, again.offset, again.journeys) == (2, "createentity", 7, ())


def test_a_run_that_has_ended_gives_its_message_back_once_and_keeps_nothing_of_it() -> None:
    made = attempt(message(), version("w"))
    start = started(made)
    step = advance("r", None, check({"name": "w", "tasks": TASKS}), start, 5)
    assert step.run is not None
    (answer,) = [one for one in step.effects if isinstance(one, Answer)]
    assert answer.asker == start.asker
    assert answer.journeys == (Journey("r", "w", "succeeded", "", 3),)
    assert (step.run.status, step.run.asker) == ("succeeded", Asker())
    failed = Run(id="r", tenant="t", workflow="w", version=1, status="failed", asker=Asker())
    assert not retryable(failed), "the message has been told"


def test_several_are_joined_and_each_tells_how_it_ended() -> None:
    made = attempt(message(), version("a"), version("b"))
    start = started(made)
    assert (start.workflow, start.version, start.params[JOINING]) == (JOINING, 0, ["a", "b"])
    workflow = index().of_run(start)
    assert workflow is not None
    run_id = start_id(made)
    step = advance(run_id, None, workflow, start, 5)
    begun = [one for one in step.effects if isinstance(one, StartRun)]
    assert [(one.workflow, one.trigger, one.params["event"]["data"]) for one in begun] == [
        ("a", "event", PAYLOAD),
        ("b", "event", PAYLOAD),
    ]
    assert [one.id for one in begun] == [one.id for one in made.journeys or ()]
    step = advance(run_id, step.run, workflow, TaskEnded(task="b", attempt=1, status="failed", reason="why"), 6)
    assert not [one for one in step.effects if isinstance(one, Answer)], "the other one goes on"
    step = advance(run_id, step.run, workflow, TaskEnded(task="a", attempt=1), 7)
    (answer,) = [one for one in step.effects if isinstance(one, Answer)]
    assert [(one.workflow, one.status, one.reason) for one in answer.journeys] == [
        ("a", "succeeded", ""),
        ("b", "failed", "why"),
    ]


def test_journeys_that_are_cancelled_together_are_cancelled_each() -> None:
    start = started(attempt(message(), version("a"), version("b")))
    workflow = joined(start.params)
    step = advance("r", None, workflow, start, 5)
    step = advance("r", step.run, workflow, Cancel(reason="stop"), 6)
    (answer,) = [one for one in step.effects if isinstance(one, Answer)]
    assert {(one.status, one.reason) for one in answer.journeys} == {("cancelled", "stop")}


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (lambda: attempt(event("t.a", PAYLOAD)), "invalid-outcome"),
        (lambda: attempt(message("mine")), "invalid-outcome"),
        (lambda: attempt(message(), ended=(Journey("r", "w", "succeeded"),)), "invalid-outcome"),
        (lambda: attempt(message(), *(version(f"w{n}") for n in range(21))), "too-many-journeys"),
        (lambda: attempt(message(payload=b"no JSON"), version("w")), "invalid-payload"),
        (lambda: attempt(message(payload="x" * RUN_BYTES), version("w")), "payload-too-large"),
        (lambda: attempt(message(payload="x" * 690_000), *(version(f"w{n}") for n in range(20))), "payload-too-large"),
    ],
)
def test_what_cannot_be_awaited_fails(made: Any, code: str) -> None:
    assert journeys.awaiting(made(), Verdict(Status.PENDING), 1).code == code


def test_a_message_that_asks_again_is_answered_and_only_its_last_attempt() -> None:
    """Who asked before may have died before it was recorded, and have been tried again."""
    workflow = check({"name": "w", "tasks": [{"name": "t", "type": "eventwait", "params": {"topic": "t"}}]})
    first = started(attempt(message(), version("w")))
    assert first.asker is not None
    again = msgspec.structs.replace(first, asker=msgspec.structs.replace(first.asker, headers=(("rd_attempt", b"3"),)))
    step = advance("r", None, workflow, first, 5)
    step = advance("r", step.run, workflow, again, 6)
    assert (step.run and step.run.asker, step.effects) == (again.asker, ())
    step = advance("r", step.run, workflow, Cancel(), 7)
    assert [one.asker for one in step.effects if isinstance(one, Answer)] == [again.asker]
    for known in (workflow, None):
        late = advance("r", step.run, known, first, 8)
        assert late.run == step.run
        assert late.effects == (Answer(first.asker, (Journey("r", "w", "cancelled", "", 3),)),)
    plain = msgspec.structs.replace(first, asker=None)
    assert not advance("r", step.run, workflow, plain, 9).effects


def test_each_start_of_an_execution_is_a_signal_of_its_own() -> None:
    made = attempt(message(), version("w"))
    starts = [journeys.awaiting(made, Verdict(Status.PENDING), 1).start for _ in range(2)]
    assert len({one.id for one in starts if one}) == 2
    assert len({one.key for one in starts if one}) == 1


def test_a_joined_run_that_keeps_too_much_can_still_be_read() -> None:
    start = started(attempt(message(), version("a"), version("b")))
    large = msgspec.structs.replace(start, labels={"x": "y" * RUN_BYTES})
    step = advance("r", None, joined(start.params), large, 5)
    assert step.run is not None
    assert step.run.status == "invalid"
    assert index().of_run(step.run) is not None
    assert index().of_run(msgspec.structs.replace(step.run, params={})) is None


def test_a_journey_that_was_joined_cannot_be_retried_either() -> None:
    failed = Run(id="r", tenant="t", workflow="w", version=1, status="failed", parent=Parent("p", "w", 1))
    assert retryable(failed)
    assert not retryable(msgspec.structs.replace(failed, trigger="event"))


def test_the_attempts_of_a_policy_begin_anew_after_the_journeys() -> None:
    asker = started(attempt(message(), version("w"))).asker
    assert asker is not None
    again = redeliveries.redelivery_of([*asker.headers])
    assert (again.attempt, again.awaited) == (2, 1)
    asked: list[int] = []
    made = attempt(message(), ended=(Journey("r", "w", "succeeded"),))
    made.number = 5
    given: Any = made.given
    given.redelivery = replace(given.redelivery, awaited=4)
    retries = SimpleNamespace(appeal=lambda verdict, _process, _id, number, _now: asked.append(number) or verdict)
    around: Any = SimpleNamespace(retries=retries)
    made.around = around
    made._appeal(Verdict(Status.FAILED, "exception"), 1)
    assert asked == [1]


def test_how_journeys_ended_travels_with_the_message() -> None:
    ended = (Journey("r", "w", "failed", "☂"),)
    given = Redelivery("p", "x", 2, 0, "t", 0, 0, 0, journeys=ended)
    headers = redeliveries.headers_of([], given)
    assert redeliveries.redelivery_of(headers) == given
    with pytest.raises(InvalidEvent, match="rd_journeys"):
        redeliveries.redelivery_of([(name, b"?" if name == "rd_journeys" else value) for name, value in headers])


def test_what_a_child_process_awaits_and_what_is_published_after_it() -> None:
    outcome = AwaitJourneys({"a": 1}, [Result("t", {"n": 1}, "s")])
    read = answers.decode(answers.encode(outcome))
    assert read == AwaitJourneys({"a": 1}, [Result("t", b'{"n":1}', "s")])
    said = event("t.a")
    before, after = (judge(read, Cause(said, "p", "x1", 5, first)) for first in (0, 1000))
    assert (before.status, before.data) == (Status.PENDING, '{"a":1}')
    assert before.outputs[0].id != after.outputs[0].id, "what comes after the journeys is not what came before"


def test_what_follows_waits_about_as_long_as_the_journeys_have_lasted() -> None:
    retries = Retries(tiers("5s,1m,1h"))
    for since_s, tier in ((0, "5s"), (30, "5s"), (90, "1m"), (9000, "1h")):
        wait = retries.behind(Open("x1", 3, JOURNEYS, 0), since_s * 1000).wait
        assert wait is not None
        assert wait.topic == f"retries.{tier}"


@pytest.mark.parametrize(("left_s", "topic"), [(7000, "2h"), (3700, "2h"), (3500, "30m"), (60, "30s"), (3, "5s")])
def test_what_follows_one_that_is_due_soon_does_not_wait_behind_what_came_last(left_s: int, topic: str) -> None:
    """Its topic gives back in the order in which it was filled, and the newest of two hours come in two hours."""
    wait = Retries(tiers("5s,30s,5m,30m,2h")).behind(Open("x1", 3, "retries.2h", left_s * 1000), 0).wait
    assert wait is not None
    assert wait.topic == f"retries.{topic}"
    assert wait.due_ms <= max(left_s, 5) * 1000


def test_an_execution_that_awaits_is_recovered_as_open() -> None:
    ordered, line = Ordered(), Line(0, "entities/", b"k")
    headers = {"order_offset": b"7", "order_name": b"entities/", "order_key": b"k", "order_topic": b"runs", "order_due": b"5"}
    ordered.recover(headers, "x1", 0, 40, 0)
    found = ordered.ahead(line, 8)
    assert found is not None
    assert (found.topic, found.due_ms, ordered.ahead(line, 7)) == (JOURNEYS, 5, None)


class Begun:
    """Something in a lane."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self.said, self.alive = name, said, True

    def begin(self) -> None:
        self.said.append(self.name)


def test_the_next_attempt_goes_before_what_waits_in_its_lane() -> None:
    said: list[str] = []
    lanes: Lanes[Begun] = Lanes()
    lane = Lane(0, "entities/", b"k")
    lanes.enter(lane, Begun("first", said))
    lanes.enter(lane, Begun("behind", said))
    lanes.leave(lane, Begun("first again", said))
    lanes.leave(lane)
    assert said == ["first", "first again", "behind"]
    lanes.leave(lane)
    assert not len(lanes)
